"""Fetches the changes of one room's state that a subscription has missed.

Its loops get each change once and in order. A room without any received change is not queried.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from arqon._clock import Backoff, backoff_delay_ms
from arqon.errors import ArqonError
from arqon.message import JSON_TYPE, Message
from arqon.room_state import StateRead, StateSnapshot, StateVersion

if TYPE_CHECKING:
    from arqon.room_state import RoomState

# Missed changes are requested after a random time up to this: many clients miss the same.
_SPREAD_SECONDS: Final = 1.0
# How long missed changes are awaited; then the later ones are delivered after a GAP.
_GIVE_UP_MS: Final = 30_000
_WAITS: Final = Backoff(base_ms=1_000, max_ms=15_000)
# A key that no room has: the request needs only the events, not a state of up to 262,144 bytes.
_NO_KEY: Final = "no-such-key"
ROOM_UPDATE: Final = "ROOM_UPDATE"
_CHANGE_ID: Final = re.compile(r"room:(.+):([1-9][0-9]{0,15})", re.DOTALL)
# The most changes that wait for earlier ones; above, they are requested with those.
_HELD_MAX: Final = 8_192


def change_of(message: Message) -> StateVersion | None:
    """The change in a message; None if it is not from the bus."""
    if message.type != ROOM_UPDATE or message.sender or message.signal is not None:
        return None
    found = _CHANGE_ID.fullmatch(message.message_id)
    return None if found is None else StateVersion(int(found[2]), found[1])


def _is_first(message: Message) -> bool:
    """Whether the change created the room, so that it is the first of its epoch."""
    data: Any = message.data
    return isinstance(data, dict) and cast("dict[str, Any]", data).get("first") is True


def change_message(room: str, fields: dict[str, Any]) -> Message:
    """A message with a change, in the form that the bus uses."""
    raw = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    return Message(
        room,
        type=ROOM_UPDATE,
        data=fields,
        timestamp_ms=fields["at_ms"],
        message_id=f"room:{fields['epoch']}:{fields['version']}",
        content_type=JSON_TYPE,
        raw=raw,
    )


class RoomChanges:
    """The known changes of a room, and those that wait for earlier ones."""

    def __init__(self, room: str) -> None:
        self._room = room
        self.last: StateVersion | None = None
        """The last delivered change; None: none yet, or unknown."""
        self._uncertain = False
        """Whether changes may be missing before the next one."""
        self._held: list[tuple[Message, StateVersion]] = []

    @property
    def has_hole(self) -> bool:
        """Whether a change waits for earlier ones."""
        return bool(self._held)

    def hear(self, message: Message, change: StateVersion) -> list[Message]:
        """Adds a change. Returns it, or nothing if it is a duplicate or has to wait."""
        last = self.last
        if last is not None and last.epoch == change.epoch and change.version <= last.version:
            return []
        if not self._held and self._is_next(message, change):
            self.last = change
            return [message]
        # Changes beyond the bound are in the answer that the held ones wait for.
        if len(self._held) < _HELD_MAX:
            self._held.append((message, change))
        return []

    def doubt(self) -> bool:
        """Records that changes may be missing. False if none has been received yet."""
        if self.last is None:
            self._uncertain = True
        return self.last is not None

    def missed(self, read: StateRead) -> list[Message] | None:
        """The missed changes, from an answer to a read after `last`; None if it lacks some."""
        last = self.last
        if last is None or read.epoch != last.epoch or read.events is None:
            return None
        missed = [event.told for event in read.events if event.version > last.version]
        if read.version > last.version:
            self.last = StateVersion(read.version, read.epoch)
        return [change_message(self._room, fields) for fields in missed] + self._release()

    def replace(self, whole: StateSnapshot, now_ms: int) -> list[Message]:
        """The whole state, replacing changes that are no longer stored."""
        last, self.last = self.last, StateVersion(whole.version, whole.epoch)
        self._uncertain = False
        news = last is None or last.epoch != whole.epoch or last.version < whole.version
        fields: dict[str, Any] = {"version": whole.version, "epoch": whole.epoch, "op": "state"}
        fields["state"] = whole.state
        if whole.lock is not None:
            fields["lock"] = whole.lock
        fields |= {"by": "", "at_ms": now_ms}
        change = [change_message(self._room, fields)] if news and whole.version > 0 else []
        return change + self._release()

    def give_up(self) -> list[Message]:
        """Gives up the missing changes; returns the waiting ones up to the next hole."""
        if not self._held:
            return []
        first = self._held[0][1]
        self.last = replace(first, version=first.version - 1)
        return self._release()

    def _release(self) -> list[Message]:
        """The waiting changes that follow now; those of other epochs are dropped."""
        held, self._held = self._held, []
        epoch = "" if self.last is None else self.last.epoch
        follows: list[Message] = []
        for message, change in held:
            if change.epoch == epoch:
                follows += self.hear(message, change)
        return follows

    def _is_next(self, message: Message, change: StateVersion) -> bool:
        last = self.last
        if last is not None and last.epoch == change.epoch:
            return change.version == last.version + 1
        return (last is None and not self._uncertain) or _is_first(message)


class StateRepair:
    """Repairs the state of one room while it is subscribed."""

    def __init__(
        self, state: RoomState, give: Callable[[Message], None], gap: Callable[[str], None]
    ) -> None:
        """`give` delivers a change to the loops, `gap` the reason of a permanent loss."""
        self._state = state
        self._give_one = give
        self._gap = gap
        self._random = state._room.bus.options.random
        self._changes = RoomChanges(state._room.id)
        self._due = False
        """Whether changes may be missing that were not requested yet."""
        self._task: asyncio.Task[None] | None = None
        self._reported = False
        """Whether the bus or this client has reported a loss, and no change has arrived since."""
        self._refused = False
        """Whether the client may not request changes; until the next session."""

    def hear(self, message: Message) -> bool:
        """Handles a message. True if it is a change; a GAP triggers a request."""
        if message.is_gap and not message.sender:
            self.doubt()
        change = change_of(message)
        if change is None:
            return False
        self._give(self._changes.hear(message, change))
        if not self._changes.has_hole:
            self._reported = False
        elif self._task is None or self._task.done():
            # A request under way may return the missing changes; otherwise the next one follows.
            self._ask()
        return True

    def doubt(self) -> None:
        """Records a GAP: changes may be missing."""
        self._reported = True
        if self._changes.doubt():
            self._ask()

    def renew(self) -> None:
        """Records that the room is received on another session."""
        self._refused = False
        self.doubt()

    def end(self) -> None:
        """Stops: the room is no longer subscribed."""
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
        # Many clients detect the same loss, so each waits a random time.
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
        """Sends one request. Missing changes stay due, unless they can never be obtained."""
        self._due = False
        try:
            await self._fetch()
        except Exception as error:
            # An answer that cannot be read is none that would come.
            code = error.code if isinstance(error, ArqonError) else 0
            self._refused = code not in (408, 429) and code < 500
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
        """Delivers the waiting changes to the loops, with a GAP for each hole."""
        while self._changes.has_hole:
            if not self._reported:
                self._gap("changes-lost")
            self._reported = False
            self._give(self._changes.give_up())
