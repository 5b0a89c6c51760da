"""Continues from PostgreSQL queries with the messages of a durable room.

docs/bridge.md describes the bridge that publishes commits. It does not connect to a database.
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

# Tolerance: visibility may differ from the order of commits by this much, and a clock may be set.
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
    """Whether the queries saw the transaction: its id has 32 bits; a snapshot's ids have 64."""
    number = taken.next - taken.next % _WRAP + xid
    if number >= taken.next + _HALF:
        number -= _WRAP
    elif number + _HALF < taken.next:
        number += _WRAP
    if number >= taken.next:
        return False
    return number < taken.lowest or number not in taken.open


def _time_of(message: Message) -> float:
    """The time of its commit; for messages not from the database, the time of storage."""
    try:
        return float(message.headers["pg-commit-ms"])
    except (KeyError, ValueError):
        return message.timestamp_ms


def _is_new(message: Message, taken: _Taken) -> bool:
    time_ms = _time_of(message)
    # A much later message cannot have been seen, and ids wrap around some day.
    if message.signal is not None or time_ms > taken.at_ms + _MARGIN_MS:
        return True
    xid = message.headers.get("pg-xid", "")
    if _XID.fullmatch(xid):
        return not _is_seen(int(xid), taken)
    # Messages not from the database are not part of the queries' result.
    return time_ms >= taken.at_ms


async def _begin(room: Room, taken: _Taken) -> dict[str, Any]:
    """The position to begin at, so that no new message is omitted."""
    before = 0
    while True:
        page = await room.history(reverse=True, before=before)
        for message in page.messages:
            # The room must still have this message when the loop begins, or the loop begins with a
            # gap.
            if _time_of(message) < taken.at_ms - _MARGIN_MS:
                return {"from_": message.offset}
            before = message.offset
        if not page.more:
            break
    # No message is that old: the room is new, or older messages were removed. The bus knows which.
    if page.offset == 0:
        return {"from_": "start"}
    return {"position": Position(0, page.epoch)}


async def subscribe_since(
    bus: Connection, room_id: str, taken: str, **options: Any
) -> AsyncIterator[Message]:
    """The messages of a durable room that a transaction's queries have not seen, then new ones.

    There is no gap and no duplicate. `taken` is the result of `select arqon.position()` in that
    transaction (repeatable read). If not all messages since then are available, the loop begins
    with a gap: run the queries again. `options` are those of `Connection.room`. Raises ValueError
    for an invalid position, and as `Room.history` and `async with` do.
    """
    position = _read(taken)
    begin = await _begin(bus.room(room_id), position)
    async with bus.room(room_id, **options, **begin) as room:
        async for message in room:
            if _is_new(message, position):
                yield message
