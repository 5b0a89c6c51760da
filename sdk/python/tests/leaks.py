"""Finds what a test leaks: tasks, timers of the loop, sockets and unclosed resources."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path
from typing import Any, NamedTuple

from waits import until

from arqon._session.session import Session

_FD: Path = Path("/proc/self/fd")


class Held(NamedTuple):
    """The resources that the process holds now. Sockets are counted on Linux only."""

    tasks: frozenset[asyncio.Task[Any]]
    timers: int
    sockets: int


def _sockets() -> int:
    found = 0
    for entry in os.listdir(_FD) if _FD.is_dir() else ():
        try:
            found += os.readlink(_FD / entry).startswith("socket:")
        except OSError:
            continue
    return found


def held() -> Held:
    """The tasks of the running loop, and its timers that are not cancelled."""
    loop: Any = asyncio.get_running_loop()
    own = asyncio.current_task()
    tasks = frozenset(t for t in asyncio.all_tasks() if t is not own and not t.done())
    timers = sum(1 for handle in loop._scheduled if not handle.cancelled())
    return Held(tasks, timers, _sockets())


async def nothing_more_than(before: Held) -> None:
    """Waits until the process holds nothing more: the peer of a socket needs time to close it."""
    now = before

    def is_gone() -> bool:
        nonlocal now
        # A collected object that was not closed warns now; pytest turns that into an error.
        gc.collect()
        now = held()
        tasks = now.tasks - before.tasks
        return not tasks and now.timers <= before.timers and now.sockets <= before.sockets

    await until(lambda: f"nothing more than {before}, but {now}", is_gone)


def living_sessions() -> int:
    """The number of sessions in memory, also of those that only a leaked reference holds."""
    gc.collect()
    return sum(isinstance(thing, Session) for thing in gc.get_objects())
