"""Connections without WebSocket, on a real bus: the same API over events and requests."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bus import Bus, CuttableProxy
from waits import until
from websockets.exceptions import ConnectionClosedError

import arqon
from arqon._session.http_socket import HttpSocket


@pytest.mark.usefixtures("nothing_left")
async def test_everything_works_over_http(bus: Bus, room_id: str) -> None:
    async with (
        arqon.connect(bus.url, token=bus.token("ann"), transport="http") as ann,
        arqon.connect(bus.url, token=bus.token("bob")) as bob,
        ann.room(room_id, presence=True) as messages,
        bob.room(room_id, presence=True) as others,
    ):
        sent = [ann.room(room_id).publish("t", n) for n in range(300)]
        await asyncio.gather(*sent)
        assert [(await anext(others)).data for _ in range(300)] == list(range(300))
        assert [(await anext(messages)).data for _ in range(300)] == list(range(300))
        large = "x" * 200_000
        await bob.room(room_id).publish("t", large)
        assert (await anext(messages)).data == large
        await ann.room(room_id).state.set("key", {"a": 1})
        entry = await bob.room(room_id).state.get("key")
        assert entry is not None
        assert entry.value == {"a": 1}


async def test_http_is_used_where_websocket_does_not_open(
    bus: Bus, room_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []

    def without_upgrade(piece: bytes) -> bytes:
        asked.extend(re.findall(r"GET (/v1/\w+)\W", piece.decode("latin-1")))
        return piece.replace(b"Upgrade: websocket", b"X-Upgrade: nothing")

    async with CuttableProxy(bus.port, change=without_upgrade) as proxy:
        for _ in range(2):
            async with arqon.connect(proxy.url, token=bus.token(), transport="auto") as client:
                await client.room(room_id).publish("t", 1)
        # The client remembers which transport works.
        assert asked == ["/v1/socket", "/v1/connections", "/v1/connections"]
        assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == []
        with pytest.raises(arqon.ArqonError):
            await arqon.connect(proxy.url, token=bus.token())


NGINX = """
daemon off; user root; worker_processes 1; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{target}; proxy_http_version 1.1;
      proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;
    }}
  }}
}}
"""


async def listens(child: asyncio.subprocess.Process, port: int) -> bool:
    assert child.returncode is None, "the proxy does not start"
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@contextlib.asynccontextmanager
async def nginx(target: int, folder: Path) -> AsyncIterator[str]:
    """Runs nginx, which holds answers back, before a bus. Yields its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    file = folder / "nginx.conf"
    file.write_text(NGINX.format(port=port, target=target, folder=folder))
    quiet = asyncio.subprocess.DEVNULL
    child = await asyncio.create_subprocess_exec(
        "nginx", "-c", str(file), stdout=quiet, stderr=quiet
    )
    try:
        await until("the proxy listens", lambda: listens(child, port))
        yield f"ws://127.0.0.1:{port}"
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not there")
@pytest.mark.usefixtures("nothing_left")
async def test_events_are_polled_where_a_proxy_holds_them_back(
    bus: Bus, room_id: str, tmp_path: Path
) -> None:
    async with nginx(bus.port, tmp_path) as url:
        for n in range(2):
            async with (
                arqon.connect(url, token=bus.token(f"u{n}"), transport="http") as client,
                client.room(room_id, presence=True) as messages,
            ):
                await asyncio.gather(*(client.room(room_id).publish("t", n) for _ in range(50)))
                assert [(await anext(messages)).data for _ in range(50)] == [n] * 50


async def test_refusals_are_the_same_over_http(bus: Bus) -> None:
    with pytest.raises(arqon.TokenMalformed):
        await arqon.connect(bus.url, token="e30.e30.c2ln", transport="http")
    with pytest.raises(arqon.Unreachable):
        await arqon.connect("ws://127.0.0.1:1", token=bus.token(), transport="http")
    with pytest.raises(ValueError, match="transport is 'udp'"):
        arqon.connect(bus.url, token=bus.token(), transport="udp")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "came"),
    [
        (b"", "no answer to its request"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "HTTP 200, and no event: a proxy may hold it back"),
        (
            b'HTTP/1.1 200 OK\r\n\r\nevent: session\ndata: {"path":"/x"}\n\n',
            "its session, and no WELCOME",
        ),
    ],
)
async def test_a_failed_connection_reports_the_answer(answer: bytes, came: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    options = arqon.connect(
        f"127.0.0.1:{port}", token="a.b.c", transport="http", handshake_timeout_ms=500
    )
    with pytest.raises(arqon.ArqonError, match=f"no WELCOME within 500 ms; over HTTP: {came}"):
        async with options:
            pass
    server.close()


async def test_a_lost_stream_says_why() -> None:
    async def events() -> AsyncIterator[tuple[str, str]]:
        raise OSError("the cable is out")
        yield "", ""

    lost = HttpSocket("ws://localhost/v1/socket", "a.b.c", {}, None)
    lost._events = events()
    with pytest.raises(ConnectionClosedError, match="the cable is out"):
        await lost.recv()
