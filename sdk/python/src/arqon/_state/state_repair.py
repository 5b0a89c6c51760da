"""Fetches the changes of one room's state that a subscription has missed.

Its loops get each once and in order, as if it had come. Which those are is `room_changes.py`.
Rooms of whose state nobody has heard anything are not asked for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from arqon._state.room_changes import RoomChanges, change_of
from arqon._time.backoff import Backoff, backoff_delay_ms
from arqon.errors import ArqonError
from arqon.message import Message

if TYPE_CHECKING:
    from arqon.room_state import RoomState

# Changes that were missed are asked for within this: many clients miss the same.
_SPREAD_SECONDS: Final = 1.0
# For so long they are waited for; then what came after them comes out, behind a GAP.
_GIVE_UP_MS: Final = 30_000
_WAITS: Final = Backoff(base_ms=1_000, max_ms=15_000)
# Only the events are wanted, not a state of perhaps 262,144 bytes.
_NO_KEY: Final = "no-such-key"


class StateRepair:
    """Of one room, for as long as somebody receives it."""

    def __init__(
        self,
        room: str,
        state: RoomState,
        give: Callable[[Message], None],
        gap: Callable[[str], None],
        random: Callable[[], float],
    ) -> None:
        """`give` and `gap` are the loops': a change, and why changes are missing for good."""
        self._state = state
        self._give_one = give
        self._gap = gap
        self._random = random
        self._changes = RoomChanges(room)
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
        if self._changes.has_hole:
            self._ask()
        else:
            self._told = False
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
