"""Loops that begin with stored messages on a real bus, over a slow line, while others publish.

Pages, live messages and answers arrive in any order, and a loop reports each hole as a GAP.
`REPLAY_LOOPS=100` runs 100 loops (CONTRIBUTING.md).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from bus import Bus, CuttableProxy
from waits import pace

import arqon

pytestmark = pytest.mark.usefixtures("nothing_left")
LOOPS = int(os.environ.get("REPLAY_LOOPS", "4"))
AT_ONCE = 4
LINE_SECONDS = 0.02
WORK_SECONDS = 0.005
EVERY_SECONDS = 0.01
BUFFER = 16
# Messages that are stored before the first loop begins, and the least that a loop reads.
STORED = 200
RECEIVED_LEAST = 100
ROOM = "kept-loops"
CONFIG = """
[limits]
messages_per_second = 100_000

[[rooms]]
room = "kept-*"
durable = true
history_size = 100_000
"""


@dataclass
class Found:
    """Counts of all loops."""

    messages: int = 0
    gaps: list[str] = field(default_factory=list[str])
    """With their reasons."""
    holes: list[str] = field(default_factory=list[str])
    """Jumps and repeats without a GAP: the number before, and the number that arrived."""

    async def follow(self, sub: arqon.Room, last: int, before: int | None = None) -> int:
        """Reads rising numbers up to `last`, with a pause after each. Returns the last."""
        async for message in sub:
            if message.signal is not None:
                self.gaps.append(message.signal.reason)
                before = None
                continue
            self.messages += 1
            if before is not None and message.data != before + 1:
                self.holes.append(f"{before} → {message.data}")
            before = int(message.data)
            if before >= last:
                return before
            await pace(WORK_SECONDS)
        raise AssertionError(f"a loop has ended before {last}")


class Publisher:
    """Publishes numbers. `number` is the next one."""

    def __init__(self, room: arqon.Room) -> None:
        self._room = room
        self.number = 0
        self.offsets: dict[int, int] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    def publish(self) -> None:
        task = asyncio.create_task(self._publish(self.number))
        self.number += 1
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def stored(self) -> None:
        """Returns when everything published is stored."""
        while self._under_way:
            await asyncio.gather(*self._under_way)

    async def _publish(self, number: int) -> None:
        sent = await self._room.publish("n", number, message_id=f"n{number}", timeout_ms=120_000)
        self.offsets[number] = int(sent)

    async def run(self) -> None:
        """Publishes one after another, and waits while too many are not stored yet."""
        while True:
            if len(self._under_way) < BUFFER:
                self.publish()
            await pace(EVERY_SECONDS)


@asynccontextmanager
async def publishing(room: arqon.Room, stored: int) -> AsyncIterator[Publisher]:
    """Stores the given number of messages first. Then it publishes until the block ends."""
    publisher = Publisher(room)
    for _ in range(stored):
        publisher.publish()
    await publisher.stored()
    running = asyncio.create_task(publisher.run())
    try:
        yield publisher
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await publisher.stored()


async def test_loops_have_no_hole_however_live_messages_come_in_between(bus: Bus) -> None:
    found, left = Found(), iter(range(LOOPS))

    async def one(at: int, publisher: Publisher, url: str) -> None:
        offset = sorted(publisher.offsets.values())[-50 - at % 100]
        ways: tuple[dict[str, Any], ...] = (
            {"last": 50 + at % 150},
            {"since": 1 + 0.037 * at % 3},
            {"from_": offset},
        )
        async with arqon.connect(url, token=bus.token()) as client:
            async with client.room(ROOM, buffer=BUFFER, **ways[at % len(ways)]) as sub:
                await found.follow(sub, publisher.number + RECEIVED_LEAST)

    async def worker(publisher: Publisher, url: str) -> None:
        for at in left:
            await one(at, publisher, url)

    async with (
        CuttableProxy(bus.port, LINE_SECONDS) as proxy,
        arqon.connect(bus.url, token=bus.token()) as writer,
        publishing(writer.room(ROOM), STORED) as publisher,
    ):
        await asyncio.gather(*(worker(publisher, proxy.url) for _ in range(AT_ONCE)))
    print(f"{LOOPS} loops, {found.messages} messages, {len(found.holes)} holes, {found.gaps}")
    assert found.holes == []


async def test_a_bus_that_restarts_while_history_is_read_makes_no_hole(tmp_path: Path) -> None:
    config, found = tmp_path / "config.toml", Found()
    config.write_text(CONFIG)
    args = "--data-dir", str(tmp_path / "data")
    bus = await asyncio.to_thread(Bus, *args, config=config)
    fast = arqon.Backoff(base_ms=5, max_ms=50)
    try:
        async with (
            CuttableProxy(bus.port, LINE_SECONDS) as proxy,
            arqon.connect(proxy.url, token=bus.token(), backoff=fast) as writer,
            arqon.connect(proxy.url, token=bus.token(), backoff=fast) as client,
            publishing(writer.room(ROOM), 300) as publisher,
            client.room(ROOM, from_="start", buffer=BUFFER) as sub,
        ):
            taken = await found.follow(sub, 150)
            proxy.refuse = True
            await asyncio.to_thread(bus.stop)
            bus = await asyncio.to_thread(Bus, *args, config=config)
            proxy.target, proxy.refuse = bus.port, False
            await found.follow(sub, publisher.number + RECEIVED_LEAST, taken)
    finally:
        await asyncio.to_thread(bus.stop)
    assert (found.holes, found.gaps) == ([], [])
