"""A bound on how long something may take, that loses neither a cancellation nor a result.

`asyncio.wait_for` does on Python 3.10 and 3.11, when the end and the cancellation meet: a socket
would stay open that nobody knows of, or a cancelled task would go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

T = TypeVar("T")
# What ignores that it is cancelled is not waited for any longer.
_GIVE_UP_SECONDS: Final = 1.0


async def within(
    seconds: float, work: Awaitable[T], discard: Callable[[T], None] | None = None
) -> T:
    """What `work` gives; `asyncio.TimeoutError` after `seconds`, when it is cancelled.

    A result that comes although nobody waits any longer goes to `discard`. RuntimeError when `work`
    has cancelled itself: a CancelledError means that the caller is cancelled, and nothing else.
    """
    task = asyncio.ensure_future(work)
    in_time = False
    try:
        in_time = bool((await asyncio.wait({task}, timeout=seconds))[0])
    finally:
        if not in_time:
            task.cancel()
            task.add_done_callback(lambda late: _settle(late, discard))
            await asyncio.wait({task}, timeout=_GIVE_UP_SECONDS)
    if not in_time:
        raise asyncio.TimeoutError
    if task.cancelled():
        raise RuntimeError("it was cancelled from inside")
    return task.result()


def _settle(late: asyncio.Future[T], discard: Callable[[T], None] | None) -> None:
    # Asking for the exception marks it as seen.
    if not late.cancelled() and late.exception() is None and discard is not None:
        discard(late.result())
