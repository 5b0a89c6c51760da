"""A consumer that counts each message once: effect and position are one transaction.

After each kill it continues after the last message that it has booked.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from typing import Any

import arqon

TABLES = """
create table if not exists place (room text primary key, position_offset integer, epoch text);
create table if not exists paid (customer text primary key, amount integer);
"""


def place_of(db: sqlite3.Connection, room: str) -> arqon.Position | None:
    """The position of the last booked message; None: no message was booked yet."""
    sql = "select position_offset, epoch from place where room = ?"
    row = db.execute(sql, (room,)).fetchone()
    return None if row is None else arqon.Position(row[0], row[1])


def book(db: sqlite3.Connection, room: str, data: Any, position: arqon.Position) -> None:
    """Stores the message's effect and its position in one transaction."""
    with db:
        db.execute(
            "insert into paid values (?, ?)"
            " on conflict (customer) do update set amount = amount + excluded.amount",
            (data["customer"], data["amount"]),
        )
        db.execute(
            "insert or replace into place values (?, ?, ?)",
            (room, position.offset, position.epoch),
        )


async def consume(url: str, token: str, room_id: str, file: str) -> None:
    """Consumes the room until it is killed."""
    db = sqlite3.connect(file)
    db.executescript(TABLES)
    place = place_of(db, room_id)
    async with arqon.connect(url, token=token) as bus:
        room = bus.room(room_id, position=place) if place else bus.room(room_id, from_="start")
        async with room:
            async for message in room:
                if message.is_gap:
                    reason = message.signal.reason if message.signal else ""
                    raise SystemExit(f"messages of {room_id} are lost: {reason}")
                if message.type == "paid":
                    book(db, room_id, message.data, arqon.Position(message.offset, message.epoch))
                    print(message.offset, flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit("usage: exactly_once.py URL TOKEN ROOM FILE")
    asyncio.run(consume(*sys.argv[1:]))
