"""Begins a loop with a durable room's stored messages: the options `from_`, `last` and `since`.

They are read page by page as the loops consume them. Then a SUB delivers the rest, as after a
reconnect; its answer shows whether messages are missing.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arqon.errors import ArqonError

if TYPE_CHECKING:
    from arqon._subscription.position import Place
    from arqon._subscription.room_entry import RoomEntry
    from arqon.room import History, Room

# Wait before a retry of a page that was temporarily unavailable.
_RETRY_SECONDS: Final = 0.25


@dataclass(frozen=True)
class Start:
    """The first of the stored messages."""

    after: int = 0
    """Only messages after this offset; 0: all."""
    last: float = math.inf
    """This many of the newest messages."""
    since_seconds: float = math.inf
    """The messages after the newest one that is older than this."""


async def replay(room: Room, entry: RoomEntry, start: Start) -> None:
    """Delivers stored messages, then subscribes to the rest. A refusal ends the subscription."""
    try:
        await _give(room, entry, start)
    except ArqonError as error:
        room.bus.subscriptions.refuse(entry, error)
    else:
        room.bus.subscriptions.complete(entry)


class Reading:
    """The progress of reading the history of one room. Pure: decides which page comes next, and
    whether it continues the previous one.

    While the previous page's last message is stored, nothing after it was removed, so each page
    begins with that message; in another epoch of the log, after a restart, it has the same id.
    """

    def __init__(self, place: Place, last: int, kept: bool) -> None:
        """Begins after the message with this offset; `kept`: it must still be stored."""
        self._place = place
        self._last = last
        self._id = self._epoch = ""
        self.after = last - 1 if kept else last
        """The next page begins after this offset."""

    def take(self, page: History) -> bool:
        """Adds a page. False if it does not continue the last one: then the history ends there, and
        the answer to a SUB shows whether messages are missing.
        """
        first = page.messages[0] if page.messages else None
        known = self._epoch or page.epoch
        same = known == page.epoch or (first is not None and first.id == self._id != "")
        if self.after < self._last:
            fits = same and first is not None and first.offset == self._last
        else:
            fits = first is not None or not page.more
        self._place.read(self._last, page.epoch if fits else known, fits)
        self._epoch = page.epoch
        if page.messages:
            last = page.messages[-1]
            self._last, self.after, self._id = last.offset, last.offset - 1, last.id
        return fits


async def _give(room: Room, entry: RoomEntry, start: Start) -> None:
    place = entry.place
    reading, due = Reading(place, await _find(room, start), start.after > 0), True
    while due:
        page = await _read(room, after=reading.after)
        if not reading.take(page):
            return
        entry.tell_ready()
        due = page.more
        for message in page.messages:
            if place.deliver(message.offset):
                # A SUB delivers the rest at once: while loops are behind, pages are read instead.
                due = await _space(entry) or due
                entry.push(message)
        if not due:
            place.read(page.offset, page.epoch, more=False)


async def _space(entry: RoomEntry) -> bool:
    """Returns when every buffer is at most half full; True: it had to wait."""
    waited = False
    for buffer in tuple(entry.buffers):
        waited = await buffer.half_empty() or waited
    return waited


async def _find(room: Room, start: Start) -> int:
    """The offset before the first requested message; searches from the newest one."""
    if math.isinf(start.last) and math.isinf(start.since_seconds):
        return start.after
    oldest_ms = room.bus.clock.now_ms() - start.since_seconds * 1_000
    after, before, left, more = 0, 0, start.last, True
    while more:
        page = await _read(room, before=before, reverse=True)
        more = page.more
        if before == 0:
            after = page.offset
        for message in page.messages:
            if left <= 0 or message.timestamp_ms < oldest_ms:
                return after
            left -= 1
            before, after = message.offset, message.offset - 1
    return after


async def _read(room: Room, *, after: int = 0, before: int = 0, reverse: bool = False) -> History:
    """Reads a page; retries for as long as the bus is unreachable."""
    while True:
        try:
            return await room.history(
                after=after, before=before, reverse=reverse, filter=room.filter
            )
        except ArqonError as error:
            if room.bus.over or not error.retryable:
                raise
            await asyncio.sleep(max(_RETRY_SECONDS, error.retry_after_ms / 1_000))
