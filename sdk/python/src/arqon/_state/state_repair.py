"""Fetches the changes of one room's state that a subscription has missed.

Its loops get each once and in order. A state that nobody has heard of is not asked for.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

from arqon._time.clock import Backoff, backoff_delay_ms
from arqon.errors import ArqonError
from arqon.message import JSON_TYPE, Message
from arqon.room_state import StateRead, StateSnapshot, StateVersion

if TYPE_CHECKING:
    from arqon.room_state import RoomState

# Changes that were missed are asked for within this: many clients miss the same.
_SPREAD_SECONDS: Final = 1.0
# For so long they are waited for; then what came after them comes out, behind a GAP.
_GIVE_UP_MS: Final = 30_000
_WAITS: Final = Backoff(base_ms=1_000, max_ms=15_000)
# Only the events are wanted, not a state of perhaps 262,144 bytes.
_NO_KEY: Final = "no-such-key"
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


class StateRepair:
    """Of one room, for as long as somebody receives it."""

    def __init__(
        self, state: RoomState, give: Callable[[Message], None], gap: Callable[[str], None]
    ) -> None:
        """`give` and `gap` are the loops': a change, and why changes are missing for good."""
        self._state = state
        self._give_one = give
        self._gap = gap
        self._random = state._room.bus.options.random
        self._changes = RoomChanges(state._room.id)
        self._due = False
        """Something may be missing that no question has been sent for."""
        self._task: asyncio.Task[None] | None = None
        self._told = False
        """The bus, or this client, has told a loss, and no change has come since."""
        self._refused = False
        """The client may not ask; until the next session."""

    def hear(self, message: Message) -> bool:
        """Takes a change; False for any other message, also for a GAP, which only makes it ask."""
        if message.is_gap and not message.sender:
            self.doubt()
        change = change_of(message)
        if change is None:
            return False
        self._give(self._changes.hear(message, change))
        if not self._changes.has_hole:
            self._told = False
        elif self._task is None or self._task.done():
            # A question that is under way may bring it; when it does not, the next one follows it.
            self._ask()
        return True

    def doubt(self) -> None:
        """A GAP was put: changes may be missing."""
        self._told = True
        if self._changes.doubt():
            self._ask()

    def renew(self) -> None:
        """The room is heard on another session."""
        self._refused = False
        self.doubt()

    def end(self) -> None:
        """Nobody subscribes to the room any longer."""
        self._due = False
        if self._task is not None:
            self._task.cancel()

    def _give(self, messages: list[Message]) -> None:
        for message in messages:
            self._give_one(message)

    def _ask(self) -> None:
        if self._refused:
            self._give_up()
            return
        self._due = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        attempt = waited_ms = 0
        # Many clients learn of one loss.
        await asyncio.sleep(self._random() * _SPREAD_SECONDS)
        while self._due:
            await self._attempt()
            if not self._due:
                break
            wait_ms = backoff_delay_ms(attempt, _WAITS, self._random)
            attempt, waited_ms = attempt + 1, waited_ms + wait_ms
            if waited_ms > _GIVE_UP_MS:
                self._give_up()
            await asyncio.sleep(wait_ms / 1_000)
        self._task = None

    async def _attempt(self) -> None:
        """What it could not bring is still due, unless nobody will ever bring it."""
        self._due = False
        try:
            await self._fetch()
        except ArqonError as error:
            self._refused = error.code not in (408, 429) and error.code < 500
            if self._refused:
                self._give_up()
            else:
                self._due = True
        else:
            self._due = self._due or self._changes.has_hole

    async def _fetch(self) -> None:
        last = self._changes.last
        if last is not None:
            read = await self._state.get(_NO_KEY, events_after=last.version)
            missed = self._changes.missed(read)
            if missed is not None:
                self._give(missed)
                return
        whole = await self._state.get_all()
        self._give(self._changes.replace(whole, int(time.time() * 1_000)))

    def _give_up(self) -> None:
        """The loops get what is queued, with a GAP for each hole."""
        while self._changes.has_hole:
            if not self._told:
                self._gap("changes-lost")
            self._told = False
            self._give(self._changes.give_up())
