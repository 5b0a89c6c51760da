"""Token sources that raise, hang and lie, and clocks that jump."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
from peer import TOKEN, Peer, serve_room
from waits import pace, until
from websockets.asyncio.server import ServerConnection

import arqon
from arqon._gen.control_pb2 import Refresh
from arqon._session.token import TokenSource

pytestmark = pytest.mark.usefixtures("nothing_left")
FAST = arqon.Backoff(base_ms=1, max_ms=2)
HOUR_MS = 3_600_000


async def expires_once(peer: Peer, socket: ServerConnection) -> None:
    """Serves a room, but the first connection's token has expired."""
    if peer.attempts == 1:
        await socket.close(4401, "token-expired")
        return
    await serve_room(peer, socket)


async def raises() -> str:
    raise OSError("no token server")


def raises_at_once() -> str:
    raise OSError("no token server")


async def hangs() -> str:
    await asyncio.sleep(3_600)
    return ""


async def hangs_and_does_not_listen() -> str:
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        with contextlib.suppress(asyncio.CancelledError):
            await pace(0.3)
    return TOKEN


async def cancels_itself() -> str:
    raise asyncio.CancelledError


async def gives_bytes() -> str:
    return TOKEN.encode()  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (raises, arqon.Unreachable),
        (raises_at_once, arqon.Unreachable),
        (hangs, arqon.AnswerTimeout),
        (hangs_and_does_not_listen, arqon.AnswerTimeout),
        (cancels_itself, arqon.Unreachable),
        (gives_bytes, arqon.TokenMalformed),
        (lambda: "", arqon.TokenMalformed),
        (lambda: "no token", arqon.TokenMalformed),
        (lambda: "a.b.c\r\nX: y", arqon.TokenMalformed),
    ],
)
async def test_a_bad_source_is_a_typed_error(
    source: TokenSource, error: type[arqon.ArqonError]
) -> None:
    async with Peer(serve_room) as peer:
        with pytest.raises(error):
            await arqon.connect(peer.url, get_token=source, handshake_timeout_ms=50)
        assert peer.attempts == 0


async def test_a_source_that_fails_for_a_while_is_asked_again() -> None:
    asked = 0

    async def source() -> str:
        nonlocal asked
        asked += 1
        if asked in (2, 3):
            raise OSError("no token server")
        if asked == 4:
            await asyncio.Event().wait()
        return TOKEN

    async with (
        Peer(expires_once) as peer,
        arqon.connect(peer.url, get_token=source, backoff=FAST, handshake_timeout_ms=100) as bus,
    ):
        await until("open once more", lambda: peer.attempts >= 2 and bus.status.state == "open")
        assert asked >= 5  # more when a busy machine does not open within the limit
        await bus.room("lobby").publish("x")


async def test_a_source_with_a_parameter_hears_why() -> None:
    told: list[str | None] = []

    def source(refused: arqon.ArqonError | None) -> str:
        told.append(None if refused is None else refused.reason)
        return TOKEN

    async with (
        Peer(expires_once) as peer,
        arqon.connect(peer.url, get_token=source, backoff=FAST) as bus,
    ):
        await until("open once more", lambda: peer.attempts >= 2 and bus.status.state == "open")
    assert told == [None, "token-expired"]


class Clock:
    """The machine's clock, which a test moves."""

    def __init__(self) -> None:
        self.jumped_ms = 0

    def __call__(self) -> float:
        return time.time() * 1_000 + self.jumped_ms


@pytest.mark.parametrize("jump_ms", [HOUR_MS, -HOUR_MS])
async def test_a_clock_that_jumps_moves_no_refresh(jump_ms: int) -> None:
    refreshed = asyncio.Event()
    clock = Clock()
    asked: list[float] = []

    def source() -> str:
        asked.append(time.monotonic())
        # The bus's clock stands at 0 at the WELCOME: ends after 1,000 s.
        return "e30.eyJleHAiOjEwMDB9.c2ln"

    async def script(_: Peer, socket: ServerConnection) -> None:
        async for frame in socket:
            assert isinstance(frame, bytes)
            if frame[0] == 0x06:
                refreshed.set()
                answer = b"\x09\x08" + bytes((Refresh.FromString(frame[1:]).request_id,))
                await socket.send(answer)

    async with (
        # The first token ends after 2 s: the next one is due after 1,500 ms, and then never.
        Peer(script, token_expires_ms=2_000) as peer,
        arqon.connect(peer.url, get_token=source, now_ms=clock, random=lambda: 0.0) as bus,
    ):
        clock.jumped_ms = jump_ms
        await asyncio.wait_for(refreshed.wait(), 5)
        assert asked[1] - asked[0] > 1.3, "not before its time"
        await asyncio.sleep(1.2)
        assert len(asked) == 2, "and not again and again"
        assert bus.status.state == "open"
