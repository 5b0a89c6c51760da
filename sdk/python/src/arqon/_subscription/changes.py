"""Who joins, changes and leaves as an async iterator, for as long as a loop lives."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable

from arqon._subscription.buffer import MessageBuffer
from arqon.presence import Member, MemberTable, PresenceChange


class PresenceChanges(AsyncIterator[PresenceChange]):
    """Follows a room's members from the first `anext` on; `room.presence()` makes it.

    It keeps no queue, but what it has told and which connections differ from that: so it is bounded
    by the number of members, however slow the loop is. It needs no task of its own, and nothing is
    left of one that is thrown away.
    """

    def __init__(self, table: MemberTable, buffer: MessageBuffer) -> None:
        """`buffer` is the subscription's: these end when it does."""
        self._table = table
        self._buffer = buffer
        self._told: dict[str, Member] = {}
        self._different: dict[str, None] = {}
        self._changed = asyncio.Event()
        self._over = False
        self._stops: list[Callable[[], None]] | None = None

    async def __anext__(self) -> PresenceChange:
        """The next change. What was not told yet still is at the end."""
        if self._stops is None:
            self._follow()
        while True:
            while self._different:
                change = self._take(next(iter(self._different)))
                if change is not None:
                    return change
            if self._over:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()

    async def aclose(self) -> None:
        """Ends it; what is queued is dropped."""
        self._end()
        self._different.clear()

    def _take(self, connection_id: str) -> PresenceChange | None:
        """What is different of this connection from what was reported, if anything still is."""
        del self._different[connection_id]
        before, now = self._told.get(connection_id), self._table.members.get(connection_id)
        if now is not None:
            self._told[connection_id] = now
            if before is None:
                return PresenceChange("join", now)
            return None if before == now else PresenceChange("update", now)
        if before is None:
            return None
        del self._told[connection_id]
        return PresenceChange("leave", before)

    def _follow(self) -> None:
        # The table outlives a loop that was left by `break`: it must not keep what nobody reads.
        heard, over = weakref.WeakMethod(self._hear), weakref.WeakMethod(self._end)

        def hear(change: PresenceChange) -> None:
            if (method := heard()) is not None:
                method(change)

        def end() -> None:
            if (method := over()) is not None:
                method()

        self._different = dict.fromkeys(self._table.members)
        stop = self._table.listen(hear)
        self._stops = [stop, self._buffer.when_ended(end)]
        for forget in self._stops:
            weakref.finalize(self, forget).atexit = False

    def _hear(self, change: PresenceChange) -> None:
        connection_id = change.member.connection_id
        if change.kind == "leave" and connection_id not in self._told:
            # Came and went between two turns of the loop.
            self._different.pop(connection_id, None)
        else:
            self._different[connection_id] = None
            self._changed.set()

    def _end(self) -> None:
        self._over = True
        self._changed.set()
        for stop in self._stops or []:
            stop()
        self._stops = []
