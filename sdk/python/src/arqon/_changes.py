"""The changes of a room's members as an async iterator, bounded, for as long as a loop lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final, cast

from arqon._buffer import MessageBuffer
from arqon.errors import error_of
from arqon.presence import MemberTable, PresenceChange

# Changes that may wait for one loop; beyond it, SlowConsumer.
_CHANGES_MAX: Final = 8_192


async def changes(table: MemberTable, buffer: MessageBuffer) -> AsyncIterator[PresenceChange]:
    """What changes from now on, until the subscription's buffer has ended.

    Raises `SlowConsumer` when more than 8,192 changes wait.
    """
    waiting: asyncio.Queue[PresenceChange] = asyncio.Queue()
    stop = table.listen(
        lambda change: waiting.put_nowait(change) if waiting.qsize() <= _CHANGES_MAX else None
    )
    over = asyncio.ensure_future(buffer.wait_ended())
    try:
        while True:
            following = asyncio.ensure_future(waiting.get())
            futures = cast("set[asyncio.Future[Any]]", {following, over})
            try:
                await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
            finally:
                following.cancel()
            if not following.done():
                return
            yield following.result()
            if waiting.qsize() > _CHANGES_MAX - 1:
                raise error_of("slow-consumer")
    finally:
        stop()
        over.cancel()
