"""Follows a room from the position of a transaction's queries: python page.py ROOM POSITION.

POSITION is the result of `select arqon.position()` in the transaction (repeatable read) that loaded
the page, with any client of PostgreSQL. ARQON_URL and ARQON_TOKEN select the bus. It prints a line
of JSON for each message that the queries have not seen, then for each new one.
"""

import asyncio
import os
import sys

import arqon
from arqon.postgres import subscribe_since


async def main(room: str, position: str) -> None:
    """Prints until it is interrupted or the page must be loaded again."""
    url, token = os.environ["ARQON_URL"], os.environ["ARQON_TOKEN"]
    async with await arqon.connect(url, token=token) as bus:
        async for message in subscribe_since(bus, room, position):
            if message.is_gap:
                sys.exit(f"load the page again: {message.signal}")
            print(message.raw.decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
