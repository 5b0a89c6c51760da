"""Fixtures: one real bus for the whole run, and checks that no test leaks anything."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
import pytest_asyncio
from bus import Bus
from leaks import held, nothing_more_than

from arqon import _driver, room_state


def pytest_collection_finish() -> None:
    """Excludes pytest's own objects from the garbage collections of the leak checks."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def bus() -> Iterator[Bus]:
    started = Bus()
    yield started
    started.stop()


@pytest.fixture
def room_id() -> str:
    """A room that no other test uses."""
    return f"t-{uuid4().hex[:12]}"


@pytest_asyncio.fixture(autouse=True)
async def no_tasks_left() -> AsyncIterator[None]:
    """A test leaves no task running, its own or of the SDK."""
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    own = asyncio.current_task()
    left = [task for task in asyncio.all_tasks() - before if task is not own and not task.done()]
    assert left == []


@pytest_asyncio.fixture
async def nothing_left() -> AsyncIterator[None]:
    """Like `no_tasks_left`, also for timers, sockets and unclosed resources."""
    before = held()
    yield
    await nothing_more_than(before)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A lock renews itself without a pause. The list has the seconds that it would have waited."""
    waited: list[float] = []

    async def pause(seconds: float) -> None:
        waited.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(room_state, "sleep", pause)
    return waited


@pytest.fixture
def no_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scripted Shield has no other server behind it, so a move does not wait for one."""
    monkeypatch.setattr(_driver, "_LINGER_SECONDS", 0.0)
