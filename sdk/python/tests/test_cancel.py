"""Cancellation after every turn of the loop, in the middle of each await: nothing is left of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from leaks import held, nothing_more_than
from peer import TOKEN, Peer, ack, answer_of, requests, serve_room
from websockets.asyncio.server import ServerConnection

import arqon
from arqon._gen import Envelope, Subscribe

pytestmark = pytest.mark.usefixtures("nothing_left")
TURNS_MAX = 2_000


async def cancelled_everywhere(work: Callable[[], Coroutine[Any, Any, object]]) -> int:
    """Runs it repeatedly, cancelled one turn of the loop later each time, until it completes."""
    for turns in range(TURNS_MAX):
        task = asyncio.ensure_future(work())
        for _ in range(turns):
            await asyncio.sleep(0)
        if task.done():
            await task
            return turns
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 60)
    raise AssertionError(f"not done after {TURNS_MAX} turns")


async def connects(url: str) -> None:
    async with arqon.connect(url, token=TOKEN):
        pass


async def enters(room: arqon.Room) -> None:
    async with room:
        pass


async def lists(room: arqon.Room) -> None:
    assert [member async for member in room.list_members()] == []


async def locks(room: arqon.Room) -> None:
    async with room.state.lock():
        await asyncio.sleep(0)


async def listens(room: arqon.Room) -> None:
    async with room.listen(lambda _: None):
        await asyncio.sleep(0)


async def test_connect_and_close() -> None:
    async with Peer(serve_room) as peer:
        before = held()
        assert await cancelled_everywhere(lambda: connects(peer.url)) > 5
        # The check runs before the server ends: its end would close what the client forgot.
        await nothing_more_than(before)


@pytest.mark.parametrize(
    "work",
    [
        lambda room: room.publish("x"),
        lambda room: room.publish("x", message_id="m"),
        lambda room: room.publish("x", ack=False),
        lambda room: room.command("room.set", {}),
        lambda room: room.state.get_all(),
        enters,
        lists,
        locks,
        listens,
    ],
    ids=["publish", "keyed", "unacked", "command", "state", "enter", "members", "lock", "listen"],
)
async def test_everything_of_a_room(work: Callable[[arqon.Room], Any]) -> None:
    async with Peer(serve_room) as peer, arqon.connect(peer.url, token=TOKEN) as bus:
        turns = await cancelled_everywhere(lambda: work(bus.room("lobby")))
        assert turns >= 1
        async with bus.room("lobby", presence=True) as room:
            await room.publish("still")
            await cancelled_everywhere(lambda: room.update_meta({"a": 1}))
            await room.update_meta({"a": 2})
        outbox = bus._driver.outbox
        assert (outbox._queue, outbox._in_flight, outbox._queue_bytes) == ([], {}, 0)
        assert bus._driver.subscriptions._rooms == {}
        assert bus.status.state == "open"


async def test_publishes_that_wait_for_the_window_or_a_connection() -> None:
    answering, ended = asyncio.Event(), asyncio.Event()

    def on_status(status: arqon.Status) -> None:
        if status.state == "waiting":
            ended.set()

    async def script(peer: Peer, socket: ServerConnection) -> None:
        if peer.attempts > 1:
            await serve_room(peer, socket)
            return
        async for request in requests(socket):
            await answering.wait()
            await socket.send(ack(request.request_id))
            await socket.close(1012, "restart;spread_ms=20")

    async with (
        Peer(script) as peer,
        # It reconnects at once, before the test can read its status.
        arqon.connect(
            peer.url, token=TOKEN, window=1, random=lambda: 0.0, on_status=on_status
        ) as bus,
    ):
        room, outbox = bus.room("lobby"), bus._driver.outbox
        first = asyncio.ensure_future(room.publish("first"))
        await asyncio.sleep(0)
        for _ in range(10):
            waiting = asyncio.ensure_future(room.publish("waits"))
            await asyncio.sleep(0)
            assert len(outbox._queue) == 1
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert outbox._queue == []
        answering.set()
        await first
        await asyncio.wait_for(ended.wait(), 60)
        meanwhile = [asyncio.ensure_future(room.publish("later")) for _ in range(10)]
        await asyncio.sleep(0)
        for task in meanwhile[::2]:
            task.cancel()
        done = await asyncio.gather(*meanwhile, return_exceptions=True)
        assert done[1::2] == [0] * 5
        assert all(isinstance(one, asyncio.CancelledError) for one in done[::2])


async def test_a_loop_that_is_cancelled_loses_no_message() -> None:
    sent = 50

    async def script(_: Peer, socket: ServerConnection) -> None:
        async for request in requests(socket):
            await socket.send(answer_of(request))
            if isinstance(request, Envelope):
                echo = Envelope(room_id="lobby", sender_id="a", event=request.event)
                await socket.send(b"\x04" + echo.SerializeToString())

    async with (
        Peer(script) as peer,
        arqon.connect(peer.url, token=TOKEN) as bus,
        bus.room("lobby") as room,
    ):
        sending = asyncio.gather(*(room.publish("n", n) for n in range(sent)))
        got: list[int] = []
        turns = 0
        while len(got) < sent:
            reading = asyncio.ensure_future(anext(room))
            for _ in range(turns % 4):
                await asyncio.sleep(0)
            reading.cancel()
            try:
                got.append((await reading).data)
            except asyncio.CancelledError:
                turns += 1
                got += [(await anext(room)).data] if turns % 10 == 0 else []
        assert got == list(range(sent))
        await sending


async def test_a_lock_whose_waiter_was_cancelled_is_released() -> None:
    asked, cancelled, unlocked = asyncio.Event(), asyncio.Event(), asyncio.Event()
    fences: list[int] = []

    async def script(_: Peer, socket: ServerConnection) -> None:
        async for request in requests(socket):
            assert isinstance(request, Envelope)
            if request.cmd.name == "room.lock":
                asked.set()
                await cancelled.wait()
            elif request.cmd.name == "room.unlock":
                fences.append(request.cmd.fence)
                unlocked.set()
            await socket.send(answer_of(request))

    async with Peer(script) as peer, arqon.connect(peer.url, token=TOKEN) as bus:
        locking = asyncio.ensure_future(locks(bus.room("lobby")))
        await asyncio.wait_for(asked.wait(), 60)
        locking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await locking
        cancelled.set()
        await asyncio.wait_for(unlocked.wait(), 60)
        assert fences == [7]


async def test_close_with_everything_open() -> None:
    async def script(_: Peer, socket: ServerConnection) -> None:
        async for request in requests(socket):
            if isinstance(request, Subscribe):
                await socket.send(answer_of(request))

    async with Peer(script) as peer:
        bus = await arqon.connect(peer.url, token=TOKEN)
        room = await bus.room("lobby").__aenter__()
        listener = await bus.room("lobby").listen(lambda _: None)
        waiting: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(work)
            for work in (
                room.publish("x"),
                room.state.set("k", 1),
                locks(room),
                lists(room),
                room.publish("x", message_id="m"),
            )
        ]
        reading = asyncio.ensure_future(anext(room, None))
        ending = asyncio.ensure_future(bus.wait_closed())
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(bus.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        await bus.close()
        for work in waiting:
            with pytest.raises(arqon.ConnectionClosed):
                await asyncio.wait_for(work, 60)
        assert await reading is None
        await ending
        await listener.wait_ended()
        await listener.close()


def use_in_a_loop_that_ends(url: str) -> list[str]:
    states: list[str] = []

    async def main() -> None:
        bus = await arqon.connect(url, token=TOKEN, on_status=lambda it: states.append(it.state))
        locked = asyncio.Event()

        async def hold() -> None:
            async with bus.room("lobby").state.lock():
                locked.set()
                await asyncio.Event().wait()

        holding = asyncio.ensure_future(hold())
        await locked.wait()
        assert not holding.done()

    asyncio.run(main())
    return states


async def test_a_loop_that_ends_does_not_wait_for_answers() -> None:
    async with Peer(serve_room) as peer:
        # Otherwise the release of the lock would wait for an answer.
        states = await asyncio.to_thread(use_in_a_loop_that_ends, peer.url)
        assert states == ["connecting", "open", "closed"]
