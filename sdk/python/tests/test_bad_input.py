"""Servers that fail, lie and flood: a typed error or a reconnect follows, and nothing is left."""

from __future__ import annotations

import asyncio
import random
import time
from itertools import cycle
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET
from typing import Literal

import pytest
from leaks import living_sessions
from peer import TOKEN, Peer, ack, raw_server, requests, reset, serve_room
from waits import until
from websockets.asyncio.server import ServerConnection

import arqon
from arqon._gen import Envelope, Event

pytestmark = pytest.mark.usefixtures("nothing_left")
FAST = arqon.Backoff(base_ms=1, max_ms=2)


ANSWERS = {
    "nothing": b"",
    "no HTTP": b"\x00\xff" * 500,
    "no upgrade": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "another key": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Accept: bm9uc2Vuc2U=\r\n\r\n",
    "endless headers": b"HTTP/1.1 101 Switching Protocols\r\n" + b"X-A: b\r\n" * 20_000,
    "a long line": b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"y" * 200_000,
    "a huge body": b"HTTP/1.1 503 Busy\r\nContent-Length: 8000000\r\n\r\n" + b"z" * 8_000_000,
    "half a body": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 500\r\n\r\n{",
}


@pytest.mark.parametrize("transport", ["websocket", "http"])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
async def test_connections_answered_with_nonsense(
    answer: bytes, transport: Literal["websocket", "http"]
) -> None:
    async with raw_server(answer) as url:
        with pytest.raises(arqon.ArqonError) as refused:
            await arqon.connect(url, token=TOKEN, transport=transport, handshake_timeout_ms=5_000)
        assert refused.value.reason == "unreachable"


async def test_random_frames_end_in_typed_errors() -> None:
    chance = random.Random(10)
    opcodes = [0x00, 0x04, 0x05, 0x07, 0x08, 0x09, 0x0A, 0x99, 0x42]

    async def script(_: Peer, socket: ServerConnection) -> None:
        for _number in range(5):
            body = chance.randbytes(chance.randrange(40))
            await socket.send(bytes((chance.choice(opcodes),)) + body)
        await socket.close(4403, "enough")

    async with Peer(script) as peer:
        reasons: set[str] = set()
        for _ in range(60):
            bus = await arqon.connect(peer.url, token=TOKEN, backoff=FAST)
            try:
                async with bus.room("lobby", presence=True):
                    pass
            except arqon.ArqonError as error:
                reasons.add(error.reason)
            with pytest.raises(arqon.ArqonError) as end:
                await asyncio.wait_for(bus.wait_closed(), 60)
            reasons.add(end.value.reason)
            await bus.close()
        assert "internal" not in reasons
        assert "connection-lost" in reasons


async def test_answers_that_are_no_answers() -> None:
    results = [b"{", b"[1]", b'{"version":"7"}', b"\xff", b"[" * 100_000, b"null"]

    async def script(_: Peer, socket: ServerConnection) -> None:
        replies = cycle(results)
        async for request in requests(socket):
            await socket.send(ack(request.request_id, result=next(replies)))

    async with Peer(script) as peer, arqon.connect(peer.url, token=TOKEN) as bus:
        room = bus.room("lobby")
        for _ in results:
            with pytest.raises(arqon.MalformedFrame):
                await room.state.get("k")
        for _ in results:
            with pytest.raises(arqon.MalformedFrame):
                await room.count()
        for _ in results:
            with pytest.raises(arqon.MalformedFrame):
                [member async for member in room.list_members()]
        for _ in results:
            with pytest.raises(arqon.MalformedFrame):
                await room.state.acquire_lock()
        assert bus.status.state == "open", "an answer is not the connection"


async def test_half_of_a_surrogate_pair_is_an_invalid_field() -> None:
    half = "\ud83d"
    async with Peer(serve_room) as peer, arqon.connect(peer.url, token=TOKEN) as bus:
        room = bus.room("lobby")
        for asked in (
            room.publish(half),
            room.publish("x", message_id=half),
            room.publish("x", schema_id=half),
            room.publish("x", content_type=half),
            room.publish("x", headers={"a": half}),
            room.publish("x", headers={half: "a"}),
            room.command(half),
            room.command("x", command_id=half),
            room.command("x", epoch=half),
            room.history(filter=half),
            bus.room("lobby", filter=half).__aenter__(),
        ):
            with pytest.raises(arqon.InvalidField, match="lone surrogate"):
                await asked
        await room.publish("x")
        assert peer.attempts == 1


async def test_members_whose_pages_never_end() -> None:
    async def script(_: Peer, socket: ServerConnection) -> None:
        page = b'{"members":[],"connections":0,"users":0,"next":"again"}'
        async for request in requests(socket):
            await socket.send(ack(request.request_id, result=page))

    async with Peer(script) as peer, arqon.connect(peer.url, token=TOKEN) as bus:
        with pytest.raises(arqon.MalformedFrame, match="follows itself"):
            [member async for member in bus.room("lobby").list_members()]


async def test_a_buffer_that_overflows_before_the_room_is_ready_ends_the_wait() -> None:
    answer = b'{"members":[],"connections":0,"users":0,"pages":2}'
    message = Envelope(room_id="lobby", sender_id="ann", event=Event(type="n"))

    async def script(_: Peer, socket: ServerConnection) -> None:
        async for request in requests(socket):
            await socket.send(ack(request.request_id, result=answer))
            for _number in range(3):
                await socket.send(b"\x04" + message.SerializeToString())

    async with Peer(script) as peer, arqon.connect(peer.url, token=TOKEN) as bus:
        room = bus.room("lobby", presence=True, buffer=2)
        with pytest.raises(arqon.SlowConsumer):
            await asyncio.wait_for(room.__aenter__(), 30)


@pytest.mark.parametrize(
    "header", [b"\x82\x7f\x00\x00\x00\x00\x04\x00\x00\x00", b"\x82\x7f\x7f" + b"\xff" * 7]
)
async def test_a_frame_beyond_the_limit_is_not_read(header: bytes) -> None:
    async def script(_: Peer, socket: ServerConnection) -> None:
        socket.transport.write(header + b"x" * 1_000)
        await socket.wait_closed()

    async with Peer(script) as peer, arqon.connect(peer.url, token=TOKEN, backoff=FAST) as bus:
        with pytest.raises(arqon.FrameTooLarge):
            await asyncio.wait_for(bus.wait_closed(), 60)
        assert peer.attempts == 1


async def test_a_server_that_asks_and_does_not_read_fills_no_memory() -> None:
    gone, all_read = asyncio.Event(), asyncio.Event()

    async def script(_: Peer, socket: ServerConnection) -> None:
        small_buffer(socket.transport, SO_RCVBUF)
        socket.transport.pause_reading()
        for _number in range(12_000):
            await socket.send(b"\x07" + bytes(125))
        await socket.send(b"\x99\x01\x90the end")
        await gone.wait()
        reset(socket)

    def on_error(error: arqon.ArqonError) -> None:
        # An attempt that ends before WELCOME is an error too.
        if "the end" in str(error):
            all_read.set()

    async with (
        Peer(script) as peer,
        arqon.connect(peer.url, token=TOKEN, backoff=FAST, on_error=on_error) as bus,
    ):
        session = bus._driver._session
        assert session is not None
        transport = session._socket.transport
        assert isinstance(transport, asyncio.Transport)
        small_buffer(transport, SO_SNDBUF)
        await asyncio.wait_for(all_read.wait(), 60)
        assert 1_000_000 < session._unsent_bytes < 1_100_000, "it answers while there is space"
        gone.set()


def small_buffer(transport: asyncio.Transport, which: int) -> None:
    """Makes the kernel buffer small."""
    transport.get_extra_info("socket").setsockopt(SOL_SOCKET, which, 4_096)


async def test_a_hundred_reconnects() -> None:
    async def script(peer: Peer, socket: ServerConnection) -> None:
        if peer.attempts > 100:
            await serve_room(peer, socket)
        elif peer.attempts % 3 == 0:
            reset(socket, b"\x82")
        else:
            await socket.close(1012 if peer.attempts % 3 == 1 else 4408, "restart;spread_ms=1")

    async with (
        Peer(script) as peer,
        arqon.connect(peer.url, token=TOKEN, backoff=FAST) as bus,
    ):
        await until(
            "a hundred attempts, and open",
            lambda: peer.attempts > 100 and bus.status.state == "open",
        )
        await bus.room("lobby").publish("x")
        assert living_sessions() <= 2, "earlier sessions are collected"
        assert len(bus._driver._tasks) < 10


async def test_a_callback_of_the_program_that_raises_breaks_nothing() -> None:
    errors: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: errors.append(context["exception"]))

    def broken(_: object) -> None:
        raise ZeroDivisionError

    async with (
        Peer(serve_room) as peer,
        arqon.connect(peer.url, token=TOKEN, on_status=broken, on_error=broken) as bus,
    ):
        await bus.room("lobby").publish("x")
    assert [type(error) for error in errors] == [ZeroDivisionError] * len(errors)
    assert len(errors) >= 2


async def test_an_unforeseen_error_is_a_lost_connection_with_its_cause() -> None:
    def random() -> float:
        raise ArithmeticError("the well of numbers is dry")

    async with (
        Peer(lambda _, socket: socket.close(1012)) as peer,
        arqon.connect(peer.url, token=TOKEN, random=random) as client,
    ):
        with pytest.raises(arqon.ConnectionLost, match="ArithmeticError: the well of numbers"):
            await client.wait_closed()


async def test_redirect_is_not_followed() -> None:
    async with Peer(serve_room) as other:
        refusal = (302, {"Location": other.url}, b"")
        async with Peer(serve_room, lambda _: refusal) as peer:
            with pytest.raises(arqon.Unreachable):
                await arqon.connect(peer.url, token=TOKEN)
        assert other.attempts == 0


async def test_close_does_not_wait_for_a_peer_that_does_not_answer() -> None:
    closed = asyncio.Event()

    async def script(_: Peer, socket: ServerConnection) -> None:
        socket.transport.pause_reading()
        await closed.wait()
        reset(socket)

    async with Peer(script) as peer:
        client = await arqon.connect(peer.url, token=TOKEN)
        begun = time.monotonic()
        await client.close()
        closed.set()
        assert time.monotonic() - begun < 20
