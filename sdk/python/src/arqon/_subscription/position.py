"""A client's position in one durable room: the position in its next SUB, the meaning of the answer,
which messages count, and which are duplicates.

The rules are the same in every language (`sdk/conformance/README.md`, Positions). Pure; it sends
nothing, and knows a session by its identity only.

`PatternPositions` is the same for a pattern's rooms (docs/protocol.md, Positions of a pattern):
an offset counts under the epoch that was known when its message arrived.
"""

from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Any, Final, cast
from weakref import WeakSet

from arqon.message import Message

# Remembered own messages of a room with no_echo, because a recovery may return them.
_OWN_MAX: Final = 4_096


@dataclass(frozen=True)
class Position:
    """A position in a durable room: directly after the message with this offset.

    Offset 0 is the beginning of an epoch and needs it. Raises ValueError for an invalid position.
    """

    offset: int
    epoch: str = ""

    def __post_init__(self) -> None:
        if self.offset < 0:
            raise ValueError(f"offset is {self.offset}; expected at least 0")
        if self.offset == 0 and not self.epoch:
            raise ValueError("offset 0, the beginning of an epoch, needs that epoch")


class Place:
    """The position of one client in one room. A room that is not durable has none."""

    def __init__(self, start: Position | None, no_echo: bool) -> None:
        """`start` is the position in the first SUB; the program has everything before it."""
        self._start = start
        self.position: Position | None = None
        """The present position; None before the first ACK and in a room that is not durable."""
        self._delivered: int | None = None if start is None else start.offset
        self._following: WeakSet[object] = WeakSet()
        self._own: dict[int, None] | None = {} if no_echo else None
        self.reading = False
        """True while stored messages are read from the history."""
        self.epoch = ""
        """The epoch of the messages that are delivered now; empty if unknown.

        It is unknown from a reported loss until an ACK has the room's position. The position stays
        unchanged meanwhile, so that a SUB after a disconnect certainly receives the loss.
        """
        self.recovered: bool | None = None
        """`recovered` in the answer to the last SUB with a position."""

    def follows(self, session: object) -> bool:
        """Whether stored messages of this session count."""
        return session in self._following

    def asked(self, session: object) -> Position | None:
        """The position that a SUB on this session must have; None: none."""
        if self.reading or (self.follows(session) and not self._is_lost):
            return None
        return self.position or self._start

    def accepted(
        self, session: object, asked: Position | None, offset: int, answer: dict[str, Any]
    ) -> str | None:
        """Applies the ACK of a SUB with the position `asked`. Returns why messages are missing.

        If a position is still to be `asked` after it, the answer was to an outdated position: the
        answer to the next SUB decides.
        """
        if self.reading:
            return None
        epoch, reason = answer.get("epoch"), answer.get("reason")
        here, lost = self.position or self._start, self._is_lost
        followed = self.follows(session)
        self._following.add(session)
        if not isinstance(epoch, str) or not epoch:
            self.forget()
            return None if asked is None else "reconnect"
        if here is not None and asked is None and followed:
            # The SUB only changed options, and delivered messages may be before the ACK's offset.
            # After a loss another SUB is under way, whose ACK decides.
            if not lost:
                self.epoch = epoch
            return None
        recovered = answer.get("recovered") is True
        if asked is not here and not (epoch == self.epoch if recovered else lost and followed):
            self._following.discard(session)
            return None
        # An ACK that confirms a reported loss is no news, if no message has arrived since.
        known = recovered or (lost and self._delivered is None)
        if not recovered:
            # From the ACK's offset on everything is new except messages already received: of the
            # same log, or since the loss.
            repeat = self._delivered is not None and (
                followed and self._delivered >= offset
                if lost
                else epoch == self.epoch and self._delivered == offset
            )
            if not repeat:
                self._delivered = offset - 1
            # Messages that another session still delivers precede the loss.
            self._following = WeakSet([session])
        self.epoch = epoch
        self._move(here.offset if recovered and here is not None else offset)
        self.recovered = None if asked is None else recovered
        return None if asked is None or known else str(reason or "reconnect")

    def gap(self, session: object, reason: str) -> bool:
        """Applies a GAP of the bus on this session. False: the program need not know."""
        # Otherwise the history, or the answer to a SUB, shows what is missing.
        counts = not self.reading and (self.follows(session) or self.asked(session) is None)
        loss = reason in ("epoch-changed", "history-trimmed", "erased")
        if counts and loss and self.position is not None:
            self._following = WeakSet([session])
            self._lose()
        # Changes of the room's state are not stored.
        return counts or reason == "changes-lost"

    def deliver(self, offset: int) -> bool:
        """Records a message with this offset. False: it is a duplicate, not for the program."""
        if self._delivered is not None and offset <= self._delivered:
            return False
        self._delivered = offset
        if self._is_lost:
            self._renew()
        elif self.position is None or offset > self.position.offset:
            self._move(offset)
        if self._own is not None and offset in self._own:
            del self._own[offset]
            return False
        return True

    def read(self, offset: int, epoch: str, more: bool) -> None:
        """Records that the history has been read up to here; with `more` the read continues."""
        self.epoch, self._delivered = epoch, offset
        self._move(offset)
        self.reading = more

    def published(self, offset: int) -> None:
        """Records the offset in the ACK of this client's publish."""
        if self._own is None or offset == 0:
            return
        self._own[offset] = None
        if len(self._own) > _OWN_MAX:
            del self._own[next(iter(self._own))]

    def forget(self) -> None:
        """Records that the room is not, or no longer, durable."""
        self._start = self.position = None
        self._lose()

    @property
    def _is_lost(self) -> bool:
        return not self.epoch and self.position is not None and self.position.epoch != ""

    def _lose(self) -> None:
        self._renew()
        self.epoch = ""
        self._delivered = None
        if self._own is not None:
            self._own.clear()

    def _renew(self) -> None:
        """A new object of equal value, so that the answer to an earlier SUB does not match."""
        if self.position is not None:
            self.position = replace(self.position)

    def _move(self, offset: int) -> None:
        self.position = Position(offset, self.epoch)


# The default limit of positions in a SUB.
_ROOMS_MAX: Final = 1_000
# Overhead of one position besides its room's id, and of one SUB besides its positions, in bytes.
_PLACE_BYTES: Final = 24
_SUB_BYTES: Final = 1_024


class PatternPositions:
    """The positions of one pattern."""

    def __init__(self) -> None:
        # Epoch and offset by room; the most recently received room is last.
        self._places: dict[str, tuple[str, int]] = {}
        self._epoch = ""
        self._most = _ROOMS_MAX

    def note(self, message: Message) -> None:
        """Records a message that the loops received."""
        room, signal = message.room, message.signal
        if message.offset:
            self._move(room, message.offset)
        elif signal is not None and message.sender == "":
            # The room has another log, or the client was removed from it.
            put_out = signal.kind in ("DISCONNECT", "BAN")
            if put_out or (signal.kind == "GAP" and signal.reason == "epoch-changed"):
                self._places.pop(room, None)

    def refused(self, count: int) -> None:
        """Records that a SUB with this many positions was refused."""
        self._most = count // 2

    def asked(self, stands: bool, left_out: Container[str], frame_bytes: int) -> tuple[bytes, int]:
        """The positions for the next SUB and their number: none if it stands, nor of `left_out`."""
        epochs: dict[str, dict[str, int]] = {}
        count, left_bytes = 0, frame_bytes - _SUB_BYTES
        for room, (epoch, offset) in () if stands else reversed(self._places.items()):
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
        """Applies the answer to a SUB: returns the rooms that continue from now, and the reason."""
        epoch, positions = answer.get("epoch"), answer.get("positions")
        self._epoch = epoch if isinstance(epoch, str) else ""
        lost: list[tuple[str, str]] = []
        for room, outcome in _table(positions).items():
            table = _table(outcome)
            if table.get("recovered") is True:
                continue
            reason, offset = table.get("reason"), table.get("offset")
            lost.append((room, reason if isinstance(reason, str) and reason else "reconnect"))
            self._places.pop(room, None)
            if isinstance(offset, int):
                self._move(room, offset)
        return lost

    def _move(self, room: str, offset: int) -> None:
        # An offset without an epoch is no position.
        if not self._epoch:
            return
        self._places.pop(room, None)
        self._places[room] = self._epoch, offset
        if len(self._places) > _ROOMS_MAX:
            del self._places[next(iter(self._places))]


def _table(value: object) -> dict[str, Any]:
    """A member of the answer that is an object; empty for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
