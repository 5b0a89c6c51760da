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
from arqon._session import token
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


async def test_a_source_with_a_parameter_receives_the_reason() -> None:
    reasons: list[str | None] = []

    def source(refused: arqon.ArqonError | None) -> str:
        reasons.append(None if refused is None else refused.reason)
        return TOKEN

    async with (
        Peer(expires_once) as peer,
        arqon.connect(peer.url, get_token=source, backoff=FAST) as bus,
    ):
        await until("open once more", lambda: peer.attempts >= 2 and bus.status.state == "open")
    assert reasons == [None, "token-expired"]


@pytest.mark.parametrize("jump_ms", [HOUR_MS, -HOUR_MS])
async def test_a_clock_that_jumps_moves_no_refresh(
    jump_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumped, jumped_ms, waits = asyncio.Event(), [0], list[float]()

    async def pause(seconds: float) -> None:
        waits.append(seconds)
        await (jumped if len(waits) == 1 else asyncio.Event()).wait()

    monkeypatch.setattr(token, "sleep", pause)
    async with (
        # The first token ends after 2 s; of the others each after 1,000 s by the bus's clock, which
        # is 0 at the WELCOME.
        Peer(serve_room, token_expires_ms=2_000) as peer,
        arqon.connect(
            peer.url,
            get_token=lambda: "e30.eyJleHAiOjEwMDB9.c2ln",
            now=lambda: time.time() * 1_000 + jumped_ms[0],
            random=lambda: 0.0,
        ),
    ):
        jumped_ms[0] = jump_ms
        jumped.set()
        await until("it waits for the next refresh", lambda: len(waits) == 2)
        assert 1 <= waits[0] <= 1.5
        assert 600 < waits[1] <= 750
