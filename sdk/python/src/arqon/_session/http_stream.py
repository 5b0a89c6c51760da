"""HTTP/1.1 as much as sessions need it: one request at a time, whose answer may never end.

Not a client for anything else: it follows no redirect and keeps no cookies. What the answers mean
is `http_socket.py`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

_LINE_BYTES_MAX: Final = 65_536
_HEADERS_MAX: Final = 256
_PIECE_BYTES: Final = 65_536


class BrokenAnswerError(ConnectionError):
    """The connection ended in the middle of an answer, or what came is none."""


@dataclass(frozen=True)
class Answer:
    """The head of an answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    is_kept: bool
    """The connection takes another request behind this answer."""


class HttpStream:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Use `open`."""
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, host: str, port: int, tls: ssl.SSLContext | None) -> HttpStream:
        """Connects; raises OSError."""
        return cls(*await asyncio.open_connection(host, port, ssl=tls, limit=_LINE_BYTES_MAX))

    async def ask(
        self, method: str, target: str, headers: dict[str, str], body: bytes | None = None
    ) -> Answer:
        """Sends a request and reads the head of its answer; raises OSError."""
        lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a header with a line break")
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self._writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))
        await self._writer.drain()
        while (answer := await self._head()).status < 200:
            pass
        return answer

    async def body(self, answer: Answer) -> AsyncIterator[bytes]:
        """The body, piece by piece as it comes; raises OSError when it is cut off."""
        if answer.status == 204:
            return
        if "chunked" in answer.headers.get("transfer-encoding", "").lower():
            while size := self._size(await self._line()):
                async for piece in self._exactly(size):
                    yield piece
                await self._line()
            while await self._line():
                pass
        elif (length := answer.headers.get("content-length")) is not None:
            async for piece in self._exactly(self._number(length, 10)):
                yield piece
        else:
            while piece := await self._reader.read(_PIECE_BYTES):
                yield piece

    async def _exactly(self, size: int) -> AsyncIterator[bytes]:
        while size > 0:
            piece = await self._reader.read(min(size, _PIECE_BYTES))
            if not piece:
                raise BrokenAnswerError("the answer was cut off")
            size -= len(piece)
            yield piece

    async def _head(self) -> Answer:
        version, _, rest = (await self._line()).partition(" ")
        status = rest[:3]
        if not version.startswith("HTTP/1.") or not status.isdigit():
            raise BrokenAnswerError("this is no HTTP")
        headers: dict[str, str] = {}
        while line := await self._line():
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
            if len(headers) > _HEADERS_MAX:
                raise BrokenAnswerError("too many headers")
        is_kept = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        return Answer(int(status), headers, is_kept)

    async def _line(self) -> str:
        try:
            line = await self._reader.readline()
        except ValueError:
            raise BrokenAnswerError("a line is too long") from None
        if not line.endswith(b"\n"):
            raise BrokenAnswerError("the connection ended")
        return line.decode("latin-1").rstrip("\r\n")

    def _size(self, line: str) -> int:
        return self._number(line.partition(";")[0].strip(), 16)

    @staticmethod
    def _number(text: str, base: int) -> int:
        try:
            return int(text, base)
        except ValueError:
            raise BrokenAnswerError("a length is no number") from None

    def abort(self) -> None:
        """Ends the connection at once."""
        self._writer.transport.abort()
