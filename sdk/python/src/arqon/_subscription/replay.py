"""A loop that begins with what a durable room has stored: the options `from_`, `last` and `since`.

The room is heard meanwhile, but what is stored comes from the history, page by page as the loops
take it. From where that ends a SUB brings the rest, as after a reconnect. What is missing, the
answer to that SUB tells.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arqon.errors import ArqonError

if TYPE_CHECKING:
    from arqon._connection.driver import Driver
    from arqon._subscription.room_entry import RoomEntry
    from arqon.room import History, Room

# Wait before a page is asked for again that the bus could not give.
_RETRY_SECONDS: Final = 0.25


@dataclass(frozen=True)
class Start:
    """Which of the stored messages come first."""

    after: int = 0
    """Only those behind this offset; 0: all."""
    last: float = math.inf
    """The newest so many."""
    since_seconds: float = math.inf
    """Those behind the newest one that is older."""


async def replay(room: Room, bus: Driver, entry: RoomEntry, start: Start) -> None:
    """Gives the loops what is stored, then asks for the rest. A refusal ends the subscription."""
    try:
        await _give(room, bus, entry, start)
    except ArqonError as error:
        bus.subscriptions.refuse(entry, error)
    else:
        bus.subscriptions.ask_place(entry)


async def _give(room: Room, bus: Driver, entry: RoomEntry, start: Start) -> None:
    after, epoch = await _find(room, bus, start), ""
    # The message at `after` was there: as long as it is, nothing behind it is gone.
    kept, more = start.after > 0, True
    while more:
        page = await _read(room, bus, after=after - 1 if kept else after)
        epoch = epoch or page.epoch
        entry.replaying = "read"
        entry.tell_ready()
        first = page.messages[0].offset if page.messages else None
        if page.epoch != epoch or (kept and first != after):
            break
        entry.place.jump(after, epoch)
        for message in page.messages:
            if entry.place.deliver(message.offset):
                for reader in tuple(entry.readers):
                    await reader.buffer.half_empty()
                for reader in tuple(entry.readers):
                    reader.buffer.push(message)
        kept, more = True, page.more
        after = page.messages[-1].offset if more else page.offset
    entry.place.jump(after, epoch)
    entry.replaying = None


async def _find(room: Room, bus: Driver, start: Start) -> int:
    """The offset behind which the first wanted message comes; goes back from the newest one."""
    if math.isinf(start.last) and math.isinf(start.since_seconds):
        return start.after
    oldest_ms = bus.now_ms() - start.since_seconds * 1_000
    after, before, left, more = 0, 0, start.last, True
    while more:
        page = await _read(room, bus, before=before, reverse=True)
        more = page.more
        if before == 0:
            after = page.offset
        for message in page.messages:
            if left <= 0 or message.timestamp_ms < oldest_ms:
                return after
            left -= 1
            before, after = message.offset, message.offset - 1
    return after


async def _read(
    room: Room, bus: Driver, *, after: int = 0, before: int = 0, reverse: bool = False
) -> History:
    """A page, however long the bus is away."""
    while True:
        try:
            return await room.history(
                after=after, before=before, reverse=reverse, filter=room.filter
            )
        except ArqonError as error:
            if bus.over or not error.retryable:
                raise
            await asyncio.sleep(max(_RETRY_SECONDS, error.retry_after_ms / 1_000))
