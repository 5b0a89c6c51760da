"""Outcomes of futures, and waits for tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

T = TypeVar("T")
# A task that ignores its cancellation is no longer awaited.
_GIVE_UP_SECONDS: Final = 1.0


def resolve(future: asyncio.Future[T], value: T) -> None:
    """Sets the result, unless there is an outcome."""
    if not future.done():
        future.set_result(value)


def fail(future: asyncio.Future[Any], error: BaseException) -> None:
    """Sets the exception, unless there is an outcome. Nobody has to wait for it."""
    if not future.done():
        future.set_exception(error)
        # Marks it as retrieved; waiters still get it.
        future.exception()


async def first_of(*futures: asyncio.Future[Any], timeout_seconds: float | None = None) -> None:
    """Returns when one of them is done or the timeout has passed; cancels none of them."""
    await asyncio.wait(futures, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)


async def cancel(*tasks: asyncio.Future[Any]) -> None:
    """Cancels tasks, and returns when they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def within(
    seconds: float, work: Awaitable[T], discard: Callable[[T], None] | None = None
) -> T:
    """The result of `work`; after `seconds` it is cancelled, with `asyncio.TimeoutError`.

    A late result goes to `discard`. RuntimeError if `work` has cancelled itself: a CancelledError
    always means that the caller is cancelled.
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
    # Marks the exception as retrieved.
    if not late.cancelled() and late.exception() is None and discard is not None:
        discard(late.result())
