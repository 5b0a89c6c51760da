"""Fixtures: one real bus for the whole run, and checks that no test leaves anything behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
import pytest_asyncio
from bus import Bus
from leaks import held, nothing_more_than

from arqon._connection import hand_over
from arqon._state import held_lock


def pytest_collection_finish() -> None:
    """What pytest itself holds is not looked through each time that a test asks what is left."""
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
    """What a test starts is gone when it ends: tasks of the SDK too."""
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    own = asyncio.current_task()
    left = [task for task in asyncio.all_tasks() - before if task is not own and not task.done()]
    assert left == []


@pytest_asyncio.fixture
async def nothing_left() -> AsyncIterator[None]:
    """As `no_tasks_left`, for timers, sockets and unclosed resources too."""
    before = held()
    yield
    await nothing_more_than(before)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A lock does not wait until it renews itself; these are the seconds that it would have."""
    waited: list[float] = []

    async def pause(seconds: float) -> None:
        waited.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(held_lock, "sleep", pause)
    return waited


@pytest.fixture
def no_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other server is behind a scripted Shield: a move waits for none."""
    monkeypatch.setattr(hand_over, "_LINGER_SECONDS", 0.0)
