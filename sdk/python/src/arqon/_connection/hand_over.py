"""Moves from a stopping Shield to another one (docs/protocol.md, When a node stops).

Held locks are renewed over the next session: the Brain releases the locks of a connection that
ends.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from arqon._session.close_reaction import refusal_reaction
from arqon._session.session import Session
from arqon._time.clock import backoff_delay_ms
from arqon.errors import ArqonError

if TYPE_CHECKING:
    from arqon._connection.driver import Driver

_SETTLE_SECONDS: Final = 2.0
_BEGIN_SECONDS: Final = 5.0
_LINGER_SECONDS: Final = 0.2
_POLL_SECONDS: Final = 0.005
_WINDOW_MS_MAX: Final = 600_000


async def _first(*futures: asyncio.Future[Any], timeout_seconds: float | None = None) -> None:
    """Returns when one of them is done or the timeout has passed; cancels none of them."""
    await asyncio.wait(futures, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)


async def hand_over(bus: Driver, old: Session, window_ms: float) -> Session | None:
    """Moves within `window_ms`: the next session with all subscriptions, or None."""
    # All clients were notified at once, so each waits a random time.
    options = bus.options
    wait_ms = options.random() * max(0.0, min(window_ms, _WINDOW_MS_MAX)) / 2
    attempt = 0
    while True:
        await _first(old.ended, timeout_seconds=wait_ms / 1_000)
        if old.over:
            return None
        try:
            following = await bus.open_next()
        except ArqonError as error:
            reaction = refusal_reaction(error)
            if not reaction.reconnect:
                return None
            wait_ms = reaction.floor_ms + backoff_delay_ms(attempt, options.backoff, options.random)
        else:
            if await _move(bus, old, following):
                return following
            wait_ms = backoff_delay_ms(attempt, options.backoff, options.random)
        attempt += 1


async def _move(bus: Driver, old: Session, following: Session) -> bool:
    """False if the next session was lost or unusable before the move was complete."""
    outbox, subscriptions, moved = bus.outbox, bus.subscriptions, False
    try:
        outbox.pause()
        await _settled(bus, old)
        begun = subscriptions.begin(following)
        await _first(begun, old.ended, following.ended, timeout_seconds=_BEGIN_SECONDS)
        if begun.done():
            await _first(old.ended, following.ended, timeout_seconds=_LINGER_SECONDS)
        echo = asyncio.ensure_future(old.echo())
        try:
            await _first(echo, following.ended)
            lossless = begun.done() and echo.done() and echo.result()
        finally:
            echo.cancel()
        if not old.over and (following.over or not begun.done()):
            subscriptions.abandon()
            outbox.connected(old)
            return False
        subscriptions.cross(lossless)
        outbox.connected(following)
        moved = True
    finally:
        if not moved:
            await following.close()
    # A lock granted just now on the old session moves, too: both are awaited together.
    locks = asyncio.ensure_future(bus.move_locks())
    settled = asyncio.ensure_future(_settled(bus, old))
    both = asyncio.gather(locks, settled)
    try:
        await _first(both, old.ended, following.ended, timeout_seconds=_SETTLE_SECONDS)
    finally:
        both.cancel()
    await old.close()
    return True


async def _settled(bus: Driver, old: Session) -> None:
    """Returns when the old session has answered all requests, or after the timeout."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _SETTLE_SECONDS
    while bus.outbox.under_way(old) > 0 and not old.over and loop.time() < end:  # noqa: ASYNC110
        await asyncio.sleep(_POLL_SECONDS)


async def settle(bus: Driver, session: Session) -> None:
    """Ends the overlap once the next session has delivered everything that the old one did."""
    await asyncio.sleep(_LINGER_SECONDS)
    if await session.echo():
        bus.subscriptions.settle()
