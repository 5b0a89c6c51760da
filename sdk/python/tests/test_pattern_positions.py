"""Patterns of durable rooms on a real bus whose connections are cut while messages come."""

from __future__ import annotations

import asyncio

import pytest
from bus import Bus, CuttableProxy
from waits import until

import arqon

TURNS, EACH = 4, 6


@pytest.mark.parametrize("transport", ["websocket", "http"])
async def test_each_message_once_over_drops(bus: Bus, room_id: str, transport: str) -> None:
    rooms = [f"durable-{room_id}-{n}" for n in range(4)]
    pattern = f"durable-{room_id}-*"
    got: dict[str, list[int]] = {room: [] for room in rooms}
    gaps: set[tuple[str, str]] = set()
    async with (
        CuttableProxy(bus.port) as proxy,
        arqon.connect(bus.url, token=bus.token("bob")) as bob,
        arqon.connect(
            proxy.url,
            token=bus.token("ann"),
            transport="http" if transport == "http" else "websocket",
            backoff=arqon.Backoff(base_ms=1, max_ms=20),
        ) as ann,
        ann.room(pattern, positions=True) as messages,
    ):

        async def read() -> None:
            async for message in messages:
                if message.signal is not None:
                    gaps.add((message.room, message.signal.reason))
                else:
                    got[message.room].append(message.data)

        async def publish(n: int) -> None:
            await asyncio.gather(*(bob.room(room).publish("t", n) for room in rooms))

        reading = asyncio.create_task(read())
        count = 0
        try:
            await publish(count)
            await until("a message of each room arrived", lambda: all(got.values()))
            for _ in range(TURNS):
                for each in range(EACH):
                    if each == EACH // 3:
                        proxy.refuse = True
                        proxy.cut()
                    if each == 2 * EACH // 3:
                        proxy.refuse = False
                    count += 1
                    await publish(count)
                await until("it is connected again", lambda: ann.status.state == "open")
            whole = (count + 1) * len(rooms)
            await until("all messages arrived", lambda: sum(map(len, got.values())) >= whole)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
    assert got == {room: list(range(count + 1)) for room in rooms}
    assert gaps == {(pattern, "reconnect")}


async def test_positions_are_for_patterns(bus: Bus) -> None:
    async with arqon.connect(bus.url, token=bus.token()) as client:
        with pytest.raises(ValueError, match="a room has a position"):
            client.room("lobby", positions=True)
        async with client.room("durable-*", positions=True):
            with pytest.raises(ValueError, match="with other options"):
                async with client.room("durable-*"):
                    pass
