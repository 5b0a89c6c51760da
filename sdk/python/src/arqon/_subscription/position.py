"""Where a client stands in one durable room: what its next SUB asks for, and which are repeats.

Pure; it knows no session. Offsets grow but have holes, so a hole cannot be seen by counting: that
the messages after an ACK leave none out is the Shield's promise. The position follows what was
*delivered*: after a SUB that recovered it stays where it was, although the ACK's offset is further
on, since the missed messages come only now and the connection may drop among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

from arqon._gen.control_pb2 import Ack
from arqon.errors import error_of
from arqon.message import json_of

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
        """Checks."""
        if self.offset < 0:
            raise ValueError(f"offset is {self.offset}; expected at least 0")
        if self.offset == 0 and not self.epoch:
            raise ValueError("offset 0, the beginning of an epoch, needs that epoch")


def read_answer(ack: Ack) -> dict[str, Any]:
    """The JSON of a SUB's ACK, empty when there is none. Raises `MalformedFrame`."""
    if not ack.result:
        return {}
    try:
        answer = json_of(ack.result)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise error_of("malformed-frame", "from the server: the answer to SUB is no JSON object")
    return cast("dict[str, Any]", answer)


class Place:
    """The place of one client in one room; in a room that is not durable it has no position."""

    def __init__(self, start: Position | None, no_echo: bool) -> None:
        """`start` is what the first SUB asks for."""
        self._start = start
        self._position: Position | None = None
        self._epoch: str = ""
        self._delivered: int | None = None if start is None else start.offset
        self._changed = False
        self._own: dict[int, None] | None = {} if no_echo else None
        self.recovered: bool | None = None

    @property
    def position(self) -> Position | None:
        """None before the first ACK and in a room that is not durable."""
        return self._position

    @property
    def asked(self) -> Position | None:
        """What the next SUB asks for."""
        return self._position or self._start

    @property
    def epoch(self) -> str:
        """Of the messages that are delivered now; empty when it is not known."""
        return "" if self._changed else self._epoch

    def accepted(self, asked: Position | None, ack: Ack, answer: dict[str, Any]) -> str | None:
        """The ACK of a SUB that asked for `asked`: why messages are missing from here on, if so."""
        epoch, reason = answer.get("epoch"), answer.get("reason")
        if not isinstance(epoch, str) or not epoch:
            self.forget()
            return None if asked is None else "reconnect"
        if asked is None:
            if not self._changed:
                self._epoch = epoch
            if self._position is None:
                self._move(ack.offset)
            return None
        other_log = epoch != self._epoch and not self._changed
        self._changed, self._epoch = False, epoch
        self.recovered = answer.get("recovered") is True
        if self.recovered:
            self._move((self._position or asked).offset)
            return None
        if other_log or (self._delivered or 0) > ack.offset:
            self._delivered = None
        self._move(ack.offset)
        return reason if isinstance(reason, str) and reason else "reconnect"

    def jump(self, offset: int, epoch: str) -> None:
        """The client goes on from here, wherever it was."""
        self._changed = False
        self._epoch, self._delivered = epoch, offset
        self._move(offset)

    def deliver(self, offset: int) -> bool:
        """A message with this offset has come; False: it is a repeat, and not for the program."""
        if offset == 0:
            return True
        if self._delivered is not None and offset <= self._delivered:
            return False
        self._delivered = offset
        if not self._changed and (self._position is None or offset > self._position.offset):
            self._move(offset)
        if self._own is not None and offset in self._own:
            del self._own[offset]
            return False
        return True

    def published(self, offset: int) -> None:
        """The ACK of a publish of this client had this offset."""
        if self._own is None or offset == 0:
            return
        self._own[offset] = None
        if len(self._own) > _OWN_MAX:
            del self._own[next(iter(self._own))]

    def changed(self) -> None:
        """The bus says that the room has another log now; a SUB has yet to tell which."""
        self._changed = True
        self._delivered = None
        if self._own is not None:
            self._own.clear()

    def forget(self) -> None:
        """The room is not durable, or not any more."""
        self._start = self._position = self._delivered = None
        self._epoch, self._changed = "", False

    def _move(self, offset: int) -> None:
        # Without any message yet a log stands at 0, which only its epoch makes a place.
        if offset > 0 or self._epoch:
            self._position = Position(offset, self._epoch)
