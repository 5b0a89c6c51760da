"""Follows a room from where a transaction's queries were: python page.py ROOM POSITION.

POSITION is what `select arqon.position()` gave in the transaction (repeatable read) that loaded the
page, by any client of PostgreSQL. ARQON_URL and ARQON_TOKEN say which bus. Prints a line of JSON
for each message that the queries have not seen, then for each that comes.
"""

import asyncio
import os
import sys

import arqon
from arqon.postgres import subscribe_since


async def main(room: str, position: str) -> None:
    """Prints until it is interrupted, or the page has to be loaded anew."""
    url, token = os.environ["ARQON_URL"], os.environ["ARQON_TOKEN"]
    async with await arqon.connect(url, token=token) as bus:
        async for message in subscribe_since(bus, room, position):
            if message.is_gap:
                sys.exit(f"load the page anew: {message.signal}")
            print(message.raw.decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
