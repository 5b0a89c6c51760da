"""How far one client has come in the durable rooms of a pattern: what its next SUB asks for.

Pure; it knows no session. An offset counts under the epoch that was known when its message came;
what the answer to a SUB means is in docs/protocol.md, Positions of a pattern.
"""

from __future__ import annotations

import json
from collections.abc import Container
from typing import Any, Final, cast

from arqon.message import Message

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
        """What the next SUB asks for, as JSON, in a frame of this size; and of how many rooms.

        Rooms in `left_out` have their position elsewhere.
        """
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
