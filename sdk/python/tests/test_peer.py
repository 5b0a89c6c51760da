"""What the SDK does at each end and refusal, and at bytes that no bus sends: a scripted server."""

from __future__ import annotations

import asyncio
import time

import pytest
from peer import TOKEN, Peer, answer_all, msg, reset
from waits import until
from websockets.asyncio.server import ServerConnection

import arqon
from arqon._gen.envelope_pb2 import Envelope, SystemSignal

FAST = arqon.Backoff(base_ms=5, max_ms=10)


async def _wait(_: Peer, socket: ServerConnection) -> None:
    await socket.wait_closed()


def _close_first(code: int, reason: str, error: bytes | None = None) -> Peer:
    async def script(peer: Peer, socket: ServerConnection) -> None:
        if peer.attempts > 1:
            await socket.wait_closed()
            return
        if error is not None:
            await socket.send(error)
        await socket.close(code, reason)

    return Peer(script)


@pytest.mark.parametrize("code", [1001, 1011, 1012, 4408, 4429])
async def test_close_codes_that_reconnect(code: int) -> None:
    async with (
        _close_first(code, "restart;spread_ms=20" if code == 1012 else "") as peer,
        arqon.connect(peer.url, token=TOKEN, backoff=FAST) as client,
    ):
        await until("open once more", lambda: peer.attempts >= 2 and client.status.state == "open")


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (1008, "", arqon.TooManyProtocolErrors),
        (1008, "disconnected", arqon.Disconnected),
        (1009, "", arqon.FrameTooLarge),
        (4401, "token-expired", arqon.TokenExpired),
        (4401, "refresh-mismatch", arqon.RefreshMismatch),
        (4403, "banned", arqon.Banned),
        (4413, "frame-too-large", arqon.FrameTooLarge),
    ],
)
async def test_close_codes_that_end_it(
    code: int, reason: str, error: type[arqon.ArqonError]
) -> None:
    async with (
        _close_first(code, reason) as peer,
        arqon.connect(peer.url, token=TOKEN, backoff=FAST) as client,
    ):
        with pytest.raises(error):
            await client.wait_closed()
        await asyncio.sleep(0.05)
        assert peer.attempts == 1


async def test_4401_asks_for_a_new_token() -> None:
    tokens = iter(["e30.e30.b25l", "e30.e30.dHdv"])
    async with (
        _close_first(4401, "token-expired") as peer,
        arqon.connect(peer.url, get_token=lambda: next(tokens), backoff=FAST) as client,
    ):
        await until("open once more", lambda: peer.attempts >= 2 and client.status.state == "open")
        assert peer.tokens == ["Bearer e30.e30.b25l", "Bearer e30.e30.dHdv"]


async def test_retry_after_is_obeyed() -> None:
    def refusal(attempt: int) -> tuple[int, dict[str, str], bytes] | None:
        body = b'{"reason":"admission","detail":"Full","retry_after_ms":300}'
        return (503, {"Retry-After": "60"}, body) if attempt == 1 else None

    async with (
        Peer(_wait, refusal) as peer,
        arqon.connect(peer.url, token=TOKEN, initial_attempts=2, backoff=FAST),
    ):
        # The body's time, and not the minute of the header.
        assert 0.29 <= peer.times[1] - peer.times[0] < 50


async def test_retry_after_without_a_body() -> None:
    def refusal(_: int) -> tuple[int, dict[str, str], bytes] | None:
        return 503, {"Retry-After": "7"}, b"proxy"

    async with Peer(_wait, refusal) as peer:
        with pytest.raises(arqon.Unreachable) as refused:
            await arqon.connect(peer.url, token=TOKEN)
        assert refused.value.retry_after_ms == 7_000


async def test_an_unforeseen_error_is_a_lost_connection_with_its_cause() -> None:
    def random() -> float:
        raise ArithmeticError("the well of numbers is dry")

    async with (
        _close_first(1012, "") as peer,
        arqon.connect(peer.url, token=TOKEN, random=random) as client,
    ):
        with pytest.raises(arqon.ConnectionLost, match="ArithmeticError: the well of numbers"):
            await client.wait_closed()


async def test_redirect_is_not_followed() -> None:
    async with Peer(_wait) as other:
        refusal = (302, {"Location": other.url}, b"")
        async with Peer(_wait, lambda _: refusal) as peer:
            with pytest.raises(arqon.Unreachable):
                await arqon.connect(peer.url, token=TOKEN)
        assert other.attempts == 0


@pytest.mark.parametrize("frame", [b"", b"\x42", b"\x04\xff\xff", b"\x05\x7f\x01", "text", b"\x00"])
async def test_garbage_ends_it_with_an_error(frame: bytes | str) -> None:
    async def script(_: Peer, socket: ServerConnection) -> None:
        await socket.send(frame)
        await socket.wait_closed()

    async with Peer(script) as peer, arqon.connect(peer.url, token=TOKEN) as client:
        with pytest.raises(arqon.ConnectionLost, match="1002: Malformed frame"):
            await client.wait_closed()


async def test_server_gone_in_the_middle_of_a_frame() -> None:
    async def script(peer: Peer, socket: ServerConnection) -> None:
        if peer.attempts == 1:
            socket.transport.write(b"\x82\x7e\x10\x00abc")
            await asyncio.sleep(0.01)
            socket.transport.abort()
        await socket.wait_closed()

    async with (
        Peer(script) as peer,
        arqon.connect(peer.url, token=TOKEN, backoff=FAST) as client,
    ):
        await until("open once more", lambda: peer.attempts >= 2 and client.status.state == "open")


async def test_silent_server_is_given_up() -> None:
    async with (
        Peer(_wait, heartbeat_ms=30) as peer,
        arqon.connect(peer.url, token=TOKEN, backoff=FAST),
    ):
        await until("a second attempt", lambda: peer.attempts >= 2)


async def test_no_welcome_in_time() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with pytest.raises(arqon.Unreachable, match="50 ms"):
        await arqon.connect(url, token=TOKEN, handshake_timeout_ms=50)
    server.close()
    await server.wait_closed()


async def test_drain_moves_without_loss_or_repeat() -> None:
    gone = asyncio.Event()
    old: list[ServerConnection] = []
    sending: list[asyncio.Future[None]] = []
    drain = Envelope()
    drain.signal.kind = SystemSignal.KIND_DRAIN
    # The scripted server's clock stands at 0 when it says WELCOME.
    drain.signal.until_ms = 400

    def first(room: str) -> list[bytes]:
        return [msg(room, "a", "t1", "a"), b"\x04" + drain.SerializeToString()]

    def second(room: str) -> list[bytes]:
        # One that both sessions deliver, and one that only the next one does.
        both = msg(room, "a", "t2", "b")
        sending.append(asyncio.ensure_future(old[0].send(both)))
        return [both, msg(room, "a", "t3", "c")]

    async def script(peer: Peer, socket: ServerConnection) -> None:
        if peer.attempts > 1:
            await answer_all(socket, second)
            return
        old.append(socket)
        await answer_all(socket, first)
        gone.set()

    async with (
        Peer(script) as peer,
        arqon.connect(peer.url, token=TOKEN) as client,
        client.room("lobby") as heard,
    ):
        got = [(await asyncio.wait_for(anext(heard), 5)).type for _ in range(3)]
        assert got == ["a", "b", "c"]
        await asyncio.wait_for(gone.wait(), 5)
        assert peer.attempts == 2
        await client.room("lobby").publish("after")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(heard), 0.4)


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
