"""Rooms with reducers: what a call sends, and changes of values."""

import asyncio
from typing import Any, cast

import pytest
from bus import Bus, CuttableProxy
from peer import TOKEN, Peer, ack
from sale_types import Lot, sale
from websockets.asyncio.server import ServerConnection

import arqon
from arqon._gen import Envelope, Subscribe
from arqon.reducers import Called, call, watch
from arqon.room import Room


class _Room:
    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer
        self.sent: list[tuple[str, Any, str]] = []

    async def command(self, name: str, data: Any, *, command_id: str, **_: Any) -> Any:
        self.sent.append((name, data, command_id))
        return self.answer


async def test_a_call_has_its_kind_and_an_id() -> None:
    """Each call has a new id, unless the program gives one."""
    room = _Room({"entry": 3, "repeats": 1, "answer": 100})
    assert await call(cast("Room", room), "bid", 100, call_id="one") == Called(3, 1, 100)
    await call(cast("Room", room), "close")
    await call(cast("Room", room), "raw", b"\x00\xff")
    names = [(name, data) for name, data, _ in room.sent]
    assert names == [
        ("room.call", {"command": "bid", "data": 100}),
        ("room.call", {"command": "close"}),
        ("room.call", {"command": "raw", "data": {"base64": "AP8="}}),
    ]
    ids = [command_id for _, _, command_id in room.sent]
    assert ids[0] == "one"
    assert len(set(ids)) == len(ids)


async def test_the_type_checker_enforces_the_types_of_a_schema() -> None:
    """Each line that mypy refuses is marked. A mark that is not needed fails the test."""
    lot: Lot = {
        "lot": 1,
        "state": "open",
        "title": "A cup",
        "seller": "sam",
        "price": 12,
        "bidder": "ann",
        "closes_ms": 9,
    }
    room = _Room({"entry": 3, "answer": lot})
    auction = sale(cast("Room", room))
    await auction.call("bid", {"amount": 12}, call_id="one")
    assert room.sent == [("room.call", {"command": "bid", "data": {"amount": 12}}, "one")]
    answer: Lot = (await auction.call("look")).answer
    assert answer["price"] == 12
    await auction.call("bid", {"amount": "12"})  # type: ignore[call-overload]
    await auction.call("bid")  # type: ignore[call-overload]
    await auction.call("buy", {"amount": 12})  # type: ignore[call-overload]
    await auction.call("look", 5)  # type: ignore[call-overload]
    answer["prize"] = 5  # type: ignore[typeddict-unknown-key]


async def test_values_are_watched_over_a_lost_connection(bus: Bus) -> None:
    """It gets the visible values only, and the last change too."""
    async with (
        CuttableProxy(bus.port) as proxy,
        arqon.connect(bus.url, token=bus.token("ann"), request_timeout_ms=60_000) as ann,
        arqon.connect(proxy.url, token=bus.token("bob"), request_timeout_ms=60_000) as bob,
    ):
        own, far = ann.room("count-1"), bob.room("count-1")
        await call(own, "add", 1)
        async with watch(far) as values:
            assert values.entries() == [("total", "1")]
            first = await anext(values)
            assert (first.version, first.changes) == (1, {"total": "1"})
            calls = [asyncio.create_task(call(own, "add", 1)) for _ in range(20)]
            await calls[5]
            proxy.cut()
            await asyncio.gather(*calls)
            assert (await call(far, "add", 5)).visible
            seen = [1]
            while values.read("total") != "26":
                changed = await anext(values)
                seen.append(int(str(changed.changes.get("total", seen[-1]))))
            assert seen == sorted(seen)
            assert values.read("user/bob") == "5"
            assert values.read("user/ann") is None


async def test_a_watch_ends_with_an_answer_that_cannot_be_read() -> None:
    async def script(_: Peer, socket: ServerConnection) -> None:
        async for frame in socket:
            assert isinstance(frame, bytes)
            if frame[0] == 0x02:
                await socket.send(ack(Subscribe.FromString(frame[1:]).request_id))
                continue
            envelope = Envelope.FromString(frame[1:])
            await socket.send(ack(envelope.request_id, result=b'{"scope":"s"}'))

    async with Peer(script) as peer, arqon.connect(peer.url, token=TOKEN) as bus:
        watching = watch(bus.room("lobby"))
        with pytest.raises(arqon.MalformedFrame, match="KeyError"):
            await asyncio.wait_for(watching.__aenter__(), 30)


async def test_a_watch_ends_when_the_program_closes_the_connection(bus: Bus) -> None:
    ann = await arqon.connect(bus.url, token=bus.token("ann"), request_timeout_ms=60_000)
    async with watch(ann.room("count-end")) as values:
        await anext(values)
        following = asyncio.ensure_future(anext(values))
        await asyncio.sleep(0)
        await ann.close()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(following, 10)
