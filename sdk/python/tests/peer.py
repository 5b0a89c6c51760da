"""A scripted server on a real socket, for tests of behaviour that a healthy bus does not have."""

from __future__ import annotations

import asyncio
import json
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from socket import SO_LINGER, SOL_SOCKET

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from arqon._gen import Ack, Envelope, Refresh, Subscribe, SystemSignal, Unsubscribe, Welcome

# Any text in the form of a JWT: this server does not check it.
TOKEN = "e30.e30.c2ln"
Script = Callable[["Peer", ServerConnection], Awaitable[None]]
Refusal = Callable[[int], "tuple[int, dict[str, str], bytes] | None"]


class Peer:
    """Greets with WELCOME, then runs `script` for each connection; counts them."""

    def __init__(
        self,
        script: Script,
        refusal: Refusal = lambda _: None,
        heartbeat_ms: int = 25_000,
        token_expires_ms: int = 0,
    ) -> None:
        self._script = script
        self._refusal = refusal
        self._heartbeat_ms = heartbeat_ms
        self._token_expires_ms = token_expires_ms
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
        # A script that waits for a step of a failed test must not block the run.
        await asyncio.wait_for(self._server.wait_closed(), 60)

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
            token_expires_ms=self._token_expires_ms,
            protocol_version=1,
        )
        await socket.send(b"\x00" + welcome.SerializeToString())
        await self._script(self, socket)


def ack(request_id: int, **fields: object) -> bytes:
    """An ACK frame."""
    return b"\x09" + Ack(request_id=request_id, **fields).SerializeToString()  # type: ignore[arg-type]


def signal(room: str, kind: str) -> bytes:
    """A MSG frame with a signal of the bus about the room."""
    envelope = Envelope(room_id=room)
    envelope.signal.kind = getattr(SystemSignal, f"KIND_{kind}")
    envelope.signal.target, envelope.signal.reason = room, "spam"
    return b"\x04" + envelope.SerializeToString()


Answers = dict[str, object]
# The answers of a room's Brain to the commands of a test.
ROOM_ANSWERS: dict[str, Answers] = {
    "room.get": {"version": 0, "epoch": "e", "state": {}},
    "room.set": {"version": 1, "epoch": "e"},
    "room.lock": {"version": 1, "epoch": "e", "fence": 7, "until_ms": 99},
    "room.unlock": {"version": 2, "epoch": "e"},
    "presence.count": {"connections": 0, "users": 0},
}
MEMBERS: Answers = {"members": [], "connections": 0, "users": 0, "pages": 1}
ClientRequest = Envelope | Subscribe | Unsubscribe | Refresh
_REQUESTS: dict[int, type[ClientRequest]] = {
    0x01: Envelope,
    0x02: Subscribe,
    0x03: Unsubscribe,
    0x06: Refresh,
}


def request_of(frame: bytes | str) -> ClientRequest:
    """The request in a frame of the client."""
    assert isinstance(frame, bytes)
    return _REQUESTS[frame[0]].FromString(frame[1:])


async def requests(socket: ServerConnection) -> AsyncIterator[ClientRequest]:
    """The client's requests; answers a PING."""
    async for frame in socket:
        if frame[0] == 0x07:
            assert isinstance(frame, bytes)
            await socket.send(b"\x08" + frame[1:])
        else:
            yield request_of(frame)


def answer_of(request: ClientRequest) -> bytes:
    """The ACK of a healthy Shield with an empty room; of `presence.list` three pages."""
    name = request.cmd.name if isinstance(request, Envelope) else ""
    answer = MEMBERS if isinstance(request, Subscribe) else ROOM_ANSWERS.get(name)
    if isinstance(request, Envelope) and name == "presence.list":
        page = json.loads(request.cmd.data)["after"] if request.cmd.data else 0
        answer = {**MEMBERS, **({"next": page + 1} if page < 2 else {})}
    return ack(request.request_id, result=b"" if answer is None else json.dumps(answer).encode())


async def serve_room(_: Peer, socket: ServerConnection) -> None:
    """Answers everything as a healthy Shield with an empty room does."""
    async for request in requests(socket):
        await socket.send(answer_of(request))


def reset(socket: ServerConnection, first: bytes = b"") -> None:
    """Sends `first` unchanged and then RST, like a process that was killed."""
    if first:
        socket.transport.write(first)
    linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
    socket.transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, linger)
    socket.transport.abort()


@asynccontextmanager
async def raw_server(answer: bytes) -> AsyncIterator[str]:
    """A TCP server that answers every request with these bytes and closes the connection."""

    async def serve_raw(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve_raw, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
