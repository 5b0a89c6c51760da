"""The SDK when things fail, against a real bus: cuts, restart, expiry, slow loops, cancellation."""

from __future__ import annotations

import asyncio
import signal
import time
from uuid import uuid4

import pytest
from bus import Bus, CuttableProxy
from waits import until

import arqon
from arqon._session import token_refresh

FAST = arqon.Backoff(base_ms=20, max_ms=200)


async def test_durable_room_resumes_after_a_cut(bus: Bus) -> None:
    room_id = f"durable-{uuid4().hex[:8]}"
    async with (
        CuttableProxy(bus.port) as proxy,
        arqon.connect(bus.url, token=bus.token("ann")) as ann,
        arqon.connect(proxy.url, token=bus.token("bob"), backoff=FAST) as bob,
        bob.room(room_id) as heard,
    ):
        room = ann.room(room_id)
        await room.publish("n", 0)
        assert (await anext(heard)).data == 0
        before = bob.connection_id
        proxy.refuse = True
        proxy.cut()
        for n in range(1, 50):
            await room.publish("n", n)
        proxy.refuse = False
        got = [await asyncio.wait_for(anext(heard), 10) for _ in range(49)]
        assert [message.data for message in got] == list(range(1, 50))
        assert heard.recovered
        assert bob.connection_id != before


async def test_plain_room_tells_the_gap_and_queues_publishes(bus: Bus, room_id: str) -> None:
    states: list[str] = []
    async with (
        CuttableProxy(bus.port) as proxy,
        arqon.connect(
            proxy.url,
            token=bus.token(),
            backoff=FAST,
            queue=3,
            on_status=lambda status: states.append(status.state),
        ) as client,
        client.room(room_id) as heard,
    ):
        proxy.refuse = True
        proxy.cut()
        await until("the connection ends", lambda: client.status.state != "open")
        room = client.room(room_id)
        sending = [asyncio.ensure_future(room.publish("n", n)) for n in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(arqon.TooManyPending):
            await room.publish("n", 3)
        cancelled = sending.pop()
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        with pytest.raises(arqon.AnswerTimeout):
            await room.publish("n", 9, timeout_ms=50)
        proxy.refuse = False
        await asyncio.wait_for(asyncio.gather(*sending), 10)
        first = await asyncio.wait_for(anext(heard), 10)
        assert first.is_gap
        assert first.signal is not None
        assert first.signal.reason == "reconnect"
    assert states[:3] == ["connecting", "open", "waiting"]
    assert states[-1] == "closed"


async def test_presence_is_right_again_after_a_cut(bus: Bus, room_id: str) -> None:
    async with (
        CuttableProxy(bus.port) as proxy,
        arqon.connect(bus.url, token=bus.token("ann")) as ann,
        arqon.connect(proxy.url, token=bus.token("bob"), backoff=FAST) as bob,
        bob.room(room_id, presence=True, observer=True) as seen,
    ):
        proxy.refuse = True
        proxy.cut()
        async with ann.room(room_id, presence=True):
            proxy.refuse = False
            await until("ann is seen", lambda: [one.user_id for one in seen.members()] == ["ann"])


async def test_kill_and_restart_of_the_bus(room_id: str) -> None:
    first = await asyncio.to_thread(Bus)
    second: Bus | None = None
    try:
        async with arqon.connect(first.url, token=first.token(), backoff=FAST) as client:
            async with client.room(room_id) as heard:
                room = client.room(room_id)
                await room.publish("n", 1)
                assert (await anext(heard)).data == 1
                await asyncio.to_thread(first.stop, signal.SIGKILL)
                waiting = asyncio.ensure_future(
                    room.publish("n", 2, message_id="m2", timeout_ms=60_000)
                )
                second = await asyncio.to_thread(Bus, port=first.port)
                await asyncio.wait_for(waiting, 60)
                assert (await asyncio.wait_for(anext(heard), 60)).is_gap
                await room.publish("n", 3)
                data = 0
                while data != 3:
                    data = (await asyncio.wait_for(anext(heard), 10)).data
    finally:
        first.stop()
        if second is not None:
            second.stop()


async def test_token_is_refreshed_before_it_ends(
    bus: Bus, room_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    # Long before the end, so that a slow machine is in time; test_units.py has how long before.
    monkeypatch.setattr(token_refresh, "refresh_delay_ms", lambda *_: 1_000)

    async def get_token() -> str:
        asked.append(time.time())
        return bus.token(ttl_seconds=12)

    async with arqon.connect(bus.url, get_token=get_token) as client:
        before = client.connection_id
        await until(
            "three tokens, and the end of the first",
            lambda: len(asked) >= 3 and time.time() > asked[0] + 13,
        )
        await client.room(room_id).publish("x")
        assert client.connection_id == before


async def test_refused_token_is_replaced(bus: Bus) -> None:
    old = bus.token(ttl_seconds=-3_600)
    async with arqon.connect(bus.url, token=old, get_token=lambda: bus.token("new")) as client:
        assert client.user_id == "new"


async def test_token_source_that_raises_or_hangs(bus: Bus) -> None:
    async def broken() -> str:
        raise OSError("no token server")

    async def hanging() -> str:
        await asyncio.Event().wait()
        return ""

    with pytest.raises(arqon.Unreachable, match="no token server"):
        await arqon.connect(bus.url, get_token=broken)
    with pytest.raises(arqon.AnswerTimeout):
        await arqon.connect(bus.url, get_token=hanging, handshake_timeout_ms=50)


async def test_slow_consumer_is_told(bus: Bus, room_id: str) -> None:
    async with arqon.connect(bus.url, token=bus.token()) as client:
        async with client.room(room_id, buffer=10) as heard:
            room = client.room(room_id)
            await asyncio.gather(*(room.publish("n", n) for n in range(30)))
            got: list[int] = []
            with pytest.raises(arqon.SlowConsumer):
                async for message in heard:
                    got.append(message.data)
            assert got == list(range(10))


async def test_drop_oldest_leaves_a_gap(bus: Bus, room_id: str) -> None:
    async with arqon.connect(bus.url, token=bus.token()) as client:
        async with client.room(room_id, buffer=10, on_overflow="drop-oldest") as heard:
            room = client.room(room_id)
            await asyncio.gather(*(room.publish("n", n) for n in range(30)))
            first = await anext(heard)
            assert first.signal is not None
            dropped = int(first.signal.reason.split()[0])
            rest = [(await anext(heard)).data for _ in range(30 - dropped)]
            assert rest == list(range(dropped, 30))
            assert len(rest) < 10


async def test_a_loop_that_keeps_up_late_gets_everything(bus: Bus, room_id: str) -> None:
    async with arqon.connect(bus.url, token=bus.token()) as client:
        async with client.room(room_id, buffer=10) as heard:
            room = client.room(room_id)
            sending = asyncio.gather(*(room.publish("n", n) for n in range(300)))
            for n in range(300):
                assert (await anext(heard)).data == n
                await asyncio.sleep(0)
            await sending


async def test_cancellation_in_the_middle(bus: Bus, room_id: str) -> None:
    opening = asyncio.ensure_future(_open(bus))
    for _ in range(3):
        await asyncio.sleep(0)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    async with arqon.connect(bus.url, token=bus.token()) as client:
        room = client.room(room_id)
        publishing = asyncio.ensure_future(room.publish("x"))
        await asyncio.sleep(0)
        publishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await publishing
        entering = asyncio.ensure_future(client.room(room_id).__aenter__())
        await asyncio.sleep(0)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        async with client.room(room_id) as heard:
            reading = asyncio.ensure_future(anext(heard))
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            await room.publish("y")
            assert (await anext(heard)).type == "y"
        locking = asyncio.ensure_future(room.state.lock().__aenter__())
        await asyncio.sleep(0)
        locking.cancel()
        await asyncio.gather(locking, return_exceptions=True)


async def _open(bus: Bus) -> None:
    async with arqon.connect(bus.url, token=bus.token()):
        await asyncio.Event().wait()


async def test_close_ends_what_waits(bus: Bus, room_id: str) -> None:
    client = await arqon.connect(bus.url, token=bus.token())
    heard = await client.room(room_id).__aenter__()
    reading = asyncio.ensure_future(anext(heard, None))
    await asyncio.sleep(0)
    await client.close()
    await client.close()
    assert await reading is None
    with pytest.raises(arqon.ConnectionClosed):
        await client.room(room_id).publish("x")
    with pytest.raises(arqon.ConnectionClosed):
        await client.room(room_id).__aenter__()


async def reconnected(client: arqon.Connection, before: str) -> None:
    await until(
        "another connection",
        lambda: client.connection_id != before and client.status.state == "open",
    )


async def test_a_hundred_cuts(bus: Bus, room_id: str) -> None:
    async with (
        CuttableProxy(bus.port) as proxy,
        arqon.connect(proxy.url, token=bus.token(), backoff=arqon.Backoff(1, 2)) as client,
        client.room(room_id, buffer=4_096) as heard,
    ):
        for _ in range(100):
            before = client.connection_id
            proxy.cut()
            await reconnected(client, before)
        room = client.room(room_id)
        await room.publish("end", message_id="end")
        while (await asyncio.wait_for(anext(heard), 10)).type != "end":
            pass
        assert len(asyncio.all_tasks()) < 20
