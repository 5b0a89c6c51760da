"""Where a client is in one durable room: what its next SUB asks for, what the answer to that
means, which messages count, and which of those are repeats.

The rules are those of every language (`sdk/conformance/README.md`, Positions). Pure; it sends
nothing, and knows a session by its identity only.

`PatternPositions` is the same for a pattern's rooms (docs/protocol.md, Positions of a pattern):
an offset counts under the epoch that was known when its message came.
"""

from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Any, Final, cast
from weakref import WeakSet

from arqon.message import Message

# Own messages of a room with no_echo that may still come back by a recovery; the oldest go first.
_OWN_MAX: Final = 4_096


@dataclass(frozen=True)
class Position:
    """A place in a durable room: right after the message with this offset.

    Offset 0 is the beginning of an epoch and needs it. Raises ValueError for what is no place.
    """

    offset: int
    epoch: str = ""

    def __post_init__(self) -> None:
        if self.offset < 0:
            raise ValueError(f"offset is {self.offset}; expected at least 0")
        if self.offset == 0 and not self.epoch:
            raise ValueError("offset 0, the beginning of an epoch, needs that epoch")


class Place:
    """The place of one client in one room; in a room that is not durable it has no position."""

    def __init__(self, start: Position | None, no_echo: bool) -> None:
        """`start` is what the first SUB asks for; the program has everything before it."""
        self._start = start
        self._position: Position | None = None
        self._delivered: int | None = None if start is None else start.offset
        self._following: WeakSet[object] = WeakSet()
        self._own: dict[int, None] | None = {} if no_echo else None
        self.reading = False
        """Stored messages come from the history."""
        self.epoch = ""
        """Of the messages that are delivered now; empty when it is not known.

        From a loss that the bus tells until an ACK says where the room stands it is not, and the
        position stays where it was: a SUB after a drop is then sure to be notified of the loss.
        """
        self.recovered: bool | None = None
        """What the last SUB that asked for a position was answered."""

    @property
    def position(self) -> Position | None:
        """None before the first ACK and in a room that is not durable."""
        return self._position

    def follows(self, session: object) -> bool:
        """Whether stored messages of this session count."""
        return session in self._following

    def asked(self, session: object) -> Position | None:
        """What a SUB on this session has to ask for; None: it changes nothing of that."""
        if self.reading or (self.follows(session) and not self._is_lost):
            return None
        return self._position or self._start

    def accepted(
        self, session: object, asked: Position | None, offset: int, answer: dict[str, Any]
    ) -> str | None:
        """The ACK of a SUB that asked for `asked`: why messages are missing from here on, if so.

        When there still is a position to be `asked`, the answer was about one that the client has
        left: the next SUB tells.
        """
        if self.reading:
            return None
        epoch, reason = answer.get("epoch"), answer.get("reason")
        here, lost = self._position or self._start, self._is_lost
        followed = self.follows(session)
        self._following.add(session)
        if not isinstance(epoch, str) or not epoch:
            self.forget()
            return None if asked is None else "reconnect"
        if here is not None and asked is None and followed:
            # It only changes options, and messages that come already may be behind the ACK's
            # offset. After a loss another SUB is on its way, whose ACK tells more.
            if not lost:
                self.epoch = epoch
            return None
        recovered = answer.get("recovered") is True
        if asked is not here and not (epoch == self.epoch if recovered else lost and followed):
            self._following.discard(session)
            return None
        # An ACK that confirms a loss says nothing new, if nothing has come since that was reported.
        told = recovered or (lost and self._delivered is None)
        if not recovered:
            # From the ACK's offset on everything is new but what was heard: of the same log, or
            # since the loss.
            heard = self._delivered is not None and (
                followed and self._delivered >= offset
                if lost
                else epoch == self.epoch and self._delivered == offset
            )
            if not heard:
                self._delivered = offset - 1
            # What another session still brings is from before the loss.
            self._following = WeakSet([session])
        self.epoch = epoch
        self._move(here.offset if recovered and here is not None else offset)
        self.recovered = None if asked is None else recovered
        return None if asked is None or told else str(reason or "reconnect")

    def gap(self, session: object, reason: str) -> bool:
        """The bus tells a GAP on this session; False: it says nothing to the program."""
        # Elsewhere the history shows what is missing, or the answer to a SUB tells.
        counts = not self.reading and (self.follows(session) or self.asked(session) is None)
        loss = reason in ("epoch-changed", "history-trimmed", "erased")
        if counts and loss and self._position is not None:
            self._following = WeakSet([session])
            self._lose()
        # Changes of the room's state are not stored.
        return counts or reason == "changes-lost"

    def deliver(self, offset: int) -> bool:
        """A message with this offset has come; False: it is a repeat, and not for the program."""
        if self._delivered is not None and offset <= self._delivered:
            return False
        self._delivered = offset
        if self._is_lost:
            self._renew()
        elif self._position is None or offset > self._position.offset:
            self._move(offset)
        if self._own is not None and offset in self._own:
            del self._own[offset]
            return False
        return True

    def read(self, offset: int, epoch: str, more: bool) -> None:
        """The history has been read up to here; with `more` it is read on."""
        self.epoch, self._delivered = epoch, offset
        self._move(offset)
        self.reading = more

    def published(self, offset: int) -> None:
        """The ACK of a publish of this client had this offset."""
        if self._own is None or offset == 0:
            return
        self._own[offset] = None
        if len(self._own) > _OWN_MAX:
            del self._own[next(iter(self._own))]

    def forget(self) -> None:
        """The room is not durable, or not any longer."""
        self._start = self._position = None
        self._lose()

    @property
    def _is_lost(self) -> bool:
        return not self.epoch and self._position is not None and self._position.epoch != ""

    def _lose(self) -> None:
        self._renew()
        self.epoch = ""
        self._delivered = None
        if self._own is not None:
            self._own.clear()

    def _renew(self) -> None:
        """The same place, but for what was asked before."""
        if self._position is not None:
            self._position = replace(self._position)

    def _move(self, offset: int) -> None:
        self._position = Position(offset, self.epoch)


# As many positions as a SUB may have where an operator has said nothing else.
_ROOMS_MAX: Final = 1_000
# What one position takes beside its room's id, and one SUB beside its positions, in bytes.
_PLACE_BYTES: Final = 24
_SUB_BYTES: Final = 1_024
NONE: Final = b"{}"
"""Positions that ask for the epoch only."""


class PatternPositions:
    """The positions of one pattern."""

    def __init__(self) -> None:
        """Of a pattern that is not heard yet."""
        # By room, the one that was heard last is last: the epoch, and the offset.
        self._places: dict[str, tuple[str, int]] = {}
        self._epoch = ""
        self._most = _ROOMS_MAX

    def heard(self, message: Message) -> None:
        """A message has come to the loops."""
        room, signal = message.room, message.signal
        if message.offset:
            self._move(room, message.offset)
        elif signal is not None and message.sender == "":
            # The room has another log, or the client was put out of it.
            put_out = signal.kind in ("DISCONNECT", "BAN")
            if put_out or (signal.kind == "GAP" and signal.reason == "epoch-changed"):
                self._places.pop(room, None)

    def refused(self, count: int) -> None:
        """So many were too many."""
        self._most = count // 2

    def asked(self, left_out: Container[str], frame_bytes: int) -> tuple[bytes, int]:
        """The positions for the next SUB, without rooms `left_out`, and how many they are."""
        epochs: dict[str, dict[str, int]] = {}
        count, left_bytes = 0, frame_bytes - _SUB_BYTES
        for room, (epoch, offset) in reversed(self._places.items()):
            left_bytes -= len(room) + _PLACE_BYTES
            if count == self._most or left_bytes < 0:
                break
            if room in left_out:
                continue
            if epoch not in epochs:
                left_bytes -= len(epoch) + _PLACE_BYTES
            epochs.setdefault(epoch, {})[room] = offset
            count += 1
        return json.dumps(epochs, separators=(",", ":")).encode(), count

    def answered(self, answer: dict[str, Any]) -> list[tuple[str, str]]:
        """The answer to a SUB: the rooms that go on from now although asked for, and why."""
        epoch, positions = answer.get("epoch"), answer.get("positions")
        self._epoch = epoch if isinstance(epoch, str) else ""
        lost: list[tuple[str, str]] = []
        for room, outcome in _table(positions).items():
            said = _table(outcome)
            if said.get("recovered") is True:
                continue
            reason, offset = said.get("reason"), said.get("offset")
            lost.append((room, reason if isinstance(reason, str) and reason else "reconnect"))
            self._places.pop(room, None)
            if isinstance(offset, int):
                self._move(room, offset)
        return lost

    def _move(self, room: str, offset: int) -> None:
        # Without an epoch nobody could ask for what is behind it.
        if not self._epoch:
            return
        self._places.pop(room, None)
        self._places[room] = self._epoch, offset
        if len(self._places) > _ROOMS_MAX:
            del self._places[next(iter(self._places))]


def _table(value: object) -> dict[str, Any]:
    """An object of the answer; what is none says nothing."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
