"""A server on a real socket that does what a test says: for what no healthy bus does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from arqon._gen.control_pb2 import Ack, Subscribe, Welcome
from arqon._gen.envelope_pb2 import Envelope

# Any JWT-shaped text: this server looks at none.
TOKEN = "e30.e30.c2ln"
Script = Callable[["Peer", ServerConnection], Awaitable[None]]
Refusal = Callable[[int], "tuple[int, dict[str, str], bytes] | None"]


class Peer:
    """Greets with WELCOME, then runs `script` for each connection; counts them."""

    def __init__(
        self, script: Script, refusal: Refusal = lambda _: None, heartbeat_ms: int = 25_000
    ) -> None:
        self._script = script
        self._refusal = refusal
        self._heartbeat_ms = heartbeat_ms
        self.attempts = 0
        self.times: list[float] = []
        self.tokens: list[str] = []

    async def __aenter__(self) -> Peer:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            subprotocols=[Subprotocol("arqon.v1")],
            process_request=self._check,
            close_timeout=1,
        )
        self.url = f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    def _check(self, _: ServerConnection, request: Request) -> Response | None:
        self.attempts += 1
        self.times.append(asyncio.get_running_loop().time())
        self.tokens.append(request.headers["Authorization"])
        refused = self._refusal(self.attempts)
        if refused is None:
            return None
        status, headers, body = refused
        return Response(status, HTTPStatus(status).phrase, Headers(headers), body)

    async def _serve(self, socket: ServerConnection) -> None:
        welcome = Welcome(
            connection_id=f"c{self.attempts}",
            user_id="dev",
            tenant_id="default",
            server_time_ms=0,
            heartbeat_ms=self._heartbeat_ms,
            max_frame_bytes=262_144,
            protocol_version=1,
        )
        await socket.send(b"\x00" + welcome.SerializeToString())
        await self._script(self, socket)


def ack(request_id: int, **fields: object) -> bytes:
    """An ACK frame."""
    return b"\x09" + Ack(request_id=request_id, **fields).SerializeToString()  # type: ignore[arg-type]


def msg(room: str, sender: str, twist: str, type: str) -> bytes:
    """A MSG frame with an event."""
    envelope = Envelope(room_id=room, sender_id=sender, headers={"X-Twist-ID": twist})
    envelope.event.type = type
    return b"\x04" + envelope.SerializeToString()


async def answer_all(socket: ServerConnection, on_sub: Callable[[str], list[bytes]]) -> None:
    """ACKs every request, echoes PINGs, and sends what `on_sub` says after a SUB."""
    async for frame in socket:
        assert isinstance(frame, bytes)
        if frame[0] == 0x02:
            sub = Subscribe.FromString(frame[1:])
            await socket.send(ack(sub.request_id))
            for following in on_sub(sub.room_id):
                await socket.send(following)
        elif frame[0] == 0x01:
            await socket.send(ack(Envelope.FromString(frame[1:]).request_id))
        elif frame[0] == 0x07:
            await socket.send(b"\x08" + frame[1:])
