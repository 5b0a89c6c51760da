"""Waits of tests: for a named condition, never for a time. `pace` is the pause of a load."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

LIMIT_SECONDS = 60
POLL_SECONDS = 0.005


async def until(what: str | Callable[[], str], holds: Callable[[], object]) -> Any:
    """Calls `holds` until it returns a true value, and returns that. Fails with the last value."""
    end = time.monotonic() + LIMIT_SECONDS
    while True:
        seen = holds()
        if inspect.isawaitable(seen):
            seen = await seen
        if seen:
            return seen
        if time.monotonic() > end:
            text = what if isinstance(what, str) else what()
            raise AssertionError(f"waited {LIMIT_SECONDS} s in vain: {text}; last seen: {seen!r}")
        await pace(POLL_SECONDS)


async def pace(seconds: float) -> None:
    """A pause that is part of the load or the fault."""
    await asyncio.sleep(seconds)
