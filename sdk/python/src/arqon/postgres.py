"""A page that has loaded its state from PostgreSQL goes on with a durable room.

What publishes what commits is in docs/bridge.md. Connects to no database itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from arqon._subscription.position import Position

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arqon.connection import Connection
    from arqon.message import Message
    from arqon.room import Room

# What a transaction sees may be so much out of the order of commits, and a clock may be set.
_MARGIN_MS: Final = 60_000
_POSITION: Final = re.compile(
    r"[0-9A-F]{1,8}/[0-9A-F]{1,8};([0-9]{1,20}):([0-9]{1,20}):([0-9,]*);([0-9]{1,15})"
)
_XID: Final = re.compile(r"[0-9]{1,10}")
_WRAP: Final = 1 << 32
_HALF: Final = 1 << 31


@dataclass(frozen=True)
class _Taken:
    """`arqon.position()`: the snapshot, and the database's clock in Unix ms."""

    lowest: int
    next: int
    open: frozenset[int]
    at_ms: int


def _read(position: str) -> _Taken:
    match = _POSITION.fullmatch(position)
    if match is None:
        raise ValueError(f"{position[:100]!r} is no position; expected what arqon.position() gives")
    lowest, following, ids, at_ms = match.groups()
    return _Taken(
        int(lowest), int(following), frozenset(int(i) for i in ids.split(",") if i), int(at_ms)
    )


def _is_seen(xid: int, taken: _Taken) -> bool:
    """Ids in the log have 32 bits; those of a snapshot go on counting."""
    number = taken.next - taken.next % _WRAP + xid
    if number >= taken.next + _HALF:
        number -= _WRAP
    elif number + _HALF < taken.next:
        number += _WRAP
    if number >= taken.next:
        return False
    return number < taken.lowest or number not in taken.open


def _time_of(message: Message) -> float:
    """When it was committed, or, past the database, stored."""
    try:
        return float(message.headers["pg-commit-ms"])
    except (KeyError, ValueError):
        return message.timestamp_ms


def _is_new(message: Message, taken: _Taken) -> bool:
    time_ms = _time_of(message)
    # Long after, nothing can have been seen, and ids begin anew one day.
    if message.signal is not None or time_ms > taken.at_ms + _MARGIN_MS:
        return True
    xid = message.headers.get("pg-xid", "")
    if _XID.fullmatch(xid):
        return not _is_seen(int(xid), taken)
    # What came past the database is no part of what the page has loaded.
    return time_ms >= taken.at_ms


async def _begin(room: Room, taken: _Taken) -> dict[str, Any]:
    """Where to begin, so that nothing that is new is left out."""
    before = 0
    while True:
        page = await room.history(reverse=True, before=before)
        for message in page.messages:
            # The room must still have this one when the loop begins, or the loop finds a gap.
            if _time_of(message) < taken.at_ms - _MARGIN_MS:
                return {"from_": message.offset}
            before = message.offset
        if not page.more:
            break
    # There is none so old: the room is young, or has let go what was there. The bus knows which.
    if page.offset == 0:
        return {"from_": "start"}
    return {"position": Position(0, page.epoch)}


async def subscribe_since(
    bus: Connection, room_id: str, taken: str, **options: Any
) -> AsyncIterator[Message]:
    """What a transaction's queries have not seen of a durable room, then what comes.

    No hole, no repeat. `taken` is what `select arqon.position()` gave in that transaction
    (repeatable read). When not everything since is available, the loop begins with a gap: load the
    page anew. `options` are those of `Connection.room`. Raises ValueError for a text that is no
    position, and what `Room.history` and `async with` raise.
    """
    position = _read(taken)
    begin = await _begin(bus.room(room_id), position)
    async with bus.room(room_id, **options, **begin) as room:
        async for message in room:
            if _is_new(message, position):
                yield message
