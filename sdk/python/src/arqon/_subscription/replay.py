"""A loop that begins with what a durable room has stored: the options `from_`, `last` and `since`.

It is read page by page as the loops take it. Where it ends a SUB brings the rest, as after a
reconnect; the answer to that tells what is missing.
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


async def replay(room: Room, entry: RoomEntry, start: Start) -> None:
    """Gives the loops what is stored, then asks for the rest. A refusal ends the subscription."""
    try:
        await _give(room, entry, start)
    except ArqonError as error:
        room.bus.subscriptions.refuse(entry, error)
    else:
        room.bus.subscriptions.complete(entry)


class Reading:
    """How far the history of one room has been read. Pure: which page comes next, and whether it
    goes on behind the one before.

    As long as the last message of that is kept, nothing behind it is gone, so each page begins with
    it; in another epoch of the log, after a restart, it has the same id.
    """

    def __init__(self, place: Place, last: int, kept: bool) -> None:
        """Begins behind the message with this offset; `kept`: it has to be there."""
        self._place = place
        self._last = last
        self._id = self._epoch = ""
        self.after = last - 1 if kept else last
        """The offset behind which the next page begins."""

    def take(self, page: History) -> bool:
        """Takes a page: its messages are the next ones.

        False when that is unknown: the history ends where it was, and the answer to a SUB tells
        what is missing.
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
                # A SUB brings what is left at once: for loops that do not keep up it is read on.
                due = await _space(entry) or due
                for reader in tuple(entry.readers):
                    reader.buffer.push(message)
        if not due:
            place.read(page.offset, page.epoch, more=False)


async def _space(entry: RoomEntry) -> bool:
    """Returns when every loop has taken half of what may wait; True: one had to."""
    waited = False
    for reader in tuple(entry.readers):
        waited = await reader.buffer.half_empty() or waited
    return waited


async def _find(room: Room, start: Start) -> int:
    """The offset behind which the first wanted message comes; goes back from the newest one."""
    if math.isinf(start.last) and math.isinf(start.since_seconds):
        return start.after
    oldest_ms = room.bus.now_ms() - start.since_seconds * 1_000
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
    """A page, however long the bus is unreachable."""
    while True:
        try:
            return await room.history(
                after=after, before=before, reverse=reverse, filter=room.filter
            )
        except ArqonError as error:
            if room.bus.over or not error.retryable:
                raise
            await asyncio.sleep(max(_RETRY_SECONDS, error.retry_after_ms / 1_000))
