"""Which changes of one room's state a client has heard of, and what a read brings of the others.

Pure; when to ask is `state_repair.py`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from arqon.message import JSON_TYPE, Message
from arqon.room_state import StateRead, StateSnapshot, StateVersion

ROOM_UPDATE: Final = "ROOM_UPDATE"
_CHANGE_ID: Final = re.compile(r"room:(.+):([1-9][0-9]{0,15})", re.DOTALL)
# Changes that may wait for earlier ones; above, they are asked for with those.
_HELD_MAX: Final = 8_192


def change_of(message: Message) -> StateVersion | None:
    """Which change a message tells; None for what is not from the bus."""
    if message.type != ROOM_UPDATE or message.sender or message.signal is not None:
        return None
    found = _CHANGE_ID.fullmatch(message.message_id)
    return None if found is None else StateVersion(int(found[2]), found[1])


def _is_first(message: Message) -> bool:
    """Whether the room has been created with that change: none of its epoch came before it."""
    data: Any = message.data
    return isinstance(data, dict) and cast("dict[str, Any]", data).get("first") is True


def change_message(room: str, told: dict[str, Any]) -> Message:
    """A change as the bus would have told it."""
    raw = json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()
    return Message(
        room,
        type=ROOM_UPDATE,
        data=told,
        timestamp_ms=told["at_ms"],
        message_id=f"room:{told['epoch']}:{told['version']}",
        content_type=JSON_TYPE,
        raw=raw,
    )


@dataclass(frozen=True)
class _Held:
    message: Message
    change: StateVersion


class RoomChanges:
    """What a client knows of a room's changes, and those that wait for earlier ones."""

    def __init__(self, room: str) -> None:
        """Nothing has been heard yet."""
        self._room = room
        self.last: StateVersion | None = None
        """The last change that the program has got; None: none yet, or it is not known."""
        self._uncertain = False
        """Something may be missing before the first change that comes."""
        self._held: list[_Held] = []

    @property
    def has_hole(self) -> bool:
        """Whether a change waits for others."""
        return bool(self._held)

    def hear(self, message: Message, change: StateVersion) -> list[Message]:
        """What the program gets of a change now: it, or nothing, if it repeats or has to wait."""
        last = self.last
        if last is not None and last.epoch == change.epoch and change.version <= last.version:
            return []
        if not self._held and self._is_next(message, change):
            self.last = change
            return [message]
        # What is left out here the answer has that the others wait for.
        if len(self._held) < _HELD_MAX:
            self._held.append(_Held(message, change))
        return []

    def doubt(self) -> bool:
        """Changes may be missing from here on. False when nobody has heard of any yet."""
        if self.last is None:
            self._uncertain = True
        return self.last is not None

    def missed(self, read: StateRead) -> list[Message] | None:
        """The changes that a read, asked for after `last`, has; None when it lacks some."""
        last = self.last
        if last is None or read.epoch != last.epoch or read.events is None:
            return None
        missed = [event.told for event in read.events if event.version > last.version]
        if read.version > last.version:
            self.last = StateVersion(read.version, read.epoch)
        return [change_message(self._room, told) for told in missed] + self._release()

    def replace(self, whole: StateSnapshot, now_ms: int) -> list[Message]:
        """The whole state in place of changes that nobody knows any longer."""
        last, self.last = self.last, StateVersion(whole.version, whole.epoch)
        self._uncertain = False
        news = last is None or last.epoch != whole.epoch or last.version < whole.version
        told: dict[str, Any] = {"version": whole.version, "epoch": whole.epoch, "op": "state"}
        told["state"] = whole.state
        if whole.lock is not None:
            told["lock"] = whole.lock
        told |= {"by": "", "at_ms": now_ms}
        change = [change_message(self._room, told)] if news and whole.version > 0 else []
        return change + self._release()

    def give_up(self) -> list[Message]:
        """Nobody can be asked: what is queued comes out as far as the next hole."""
        if not self._held:
            return []
        first = self._held[0].change
        self.last = replace(first, version=first.version - 1)
        return self._release()

    def _release(self) -> list[Message]:
        """What is queued and follows now; what is behind a hole goes on, other lives are over."""
        held, self._held = self._held, []
        epoch = "" if self.last is None else self.last.epoch
        follows: list[Message] = []
        for one in held:
            if one.change.epoch == epoch:
                follows += self.hear(one.message, one.change)
        return follows

    def _is_next(self, message: Message, change: StateVersion) -> bool:
        last = self.last
        if last is not None and last.epoch == change.epoch:
            return change.version == last.version + 1
        return (last is None and not self._uncertain) or _is_first(message)
