"""Connections without WebSocket, on a real bus: the same API over events and requests."""

from __future__ import annotations

import asyncio

import pytest
from bus import Bus

import arqon


@pytest.mark.usefixtures("nothing_left")
async def test_everything_works_over_http(bus: Bus, room_id: str) -> None:
    async with (
        arqon.connect(bus.url, token=bus.token("ann"), transport="http") as ann,
        arqon.connect(bus.url, token=bus.token("bob")) as bob,
        ann.room(room_id, presence=True) as heard,
        bob.room(room_id, presence=True) as others,
    ):
        sent = [ann.room(room_id).publish("t", n) for n in range(300)]
        await asyncio.gather(*sent)
        assert [(await anext(others)).data for _ in range(300)] == list(range(300))
        assert [(await anext(heard)).data for _ in range(300)] == list(range(300))
        large = "x" * 200_000
        await bob.room(room_id).publish("t", large)
        assert (await anext(heard)).data == large
        await ann.room(room_id).state.set("key", {"a": 1})
        entry = await bob.room(room_id).state.get("key")
        assert entry is not None
        assert entry.value == {"a": 1}


async def test_refusals_are_the_same_over_http(bus: Bus) -> None:
    with pytest.raises(arqon.TokenMalformed):
        await arqon.connect(bus.url, token="e30.e30.c2ln", transport="http")
    with pytest.raises(arqon.Unreachable):
        await arqon.connect("ws://127.0.0.1:1", token=bus.token(), transport="http")
    with pytest.raises(ValueError, match="transport is 'udp'"):
        arqon.connect(bus.url, token=bus.token(), transport="udp")  # type: ignore[typeddict-item]
