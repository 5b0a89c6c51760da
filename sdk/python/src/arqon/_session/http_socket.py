"""A socket over HTTP instead of WebSocket: it receives frames as events and sends them as requests.

The events are in one streaming answer (docs/sse.md, Connections), or are polled where a proxy
buffers that. There are no redirects and no cookies.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from base64 import b64decode
from collections import deque
from collections.abc import AsyncIterator
from itertools import count
from time import monotonic
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import SplitResult, urlsplit

import h11
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

from arqon._gen import Refresh
from arqon._session.close_reaction import upgrade_error
from arqon.errors import ArqonError

_REFRESH: Final = 0x06
_FRAMES_MAX: Final = 1_024
_BATCH_BYTES: Final = 131_072
_BODY_BYTES_MAX: Final = 65_536
_CLOSE_SECONDS: Final = 2
_HEAD_BYTES_MAX: Final = 65_536
_PIECE_BYTES: Final = 65_536
# Without a byte of the answer after this time a proxy is buffering it.
_HELD_SECONDS: Final = 4
# Pause between two polls: messages of that time come in one answer.
_PAUSE_SECONDS: Final = 0.02
# How long a bus behind such a proxy is polled without trying a stream, and until when, by URL.
_REMEMBERED_SECONDS: Final = 600
_POLLED: Final[dict[str, float]] = {}


Place: TypeAlias = "tuple[str, int, ssl.SSLContext | None]"


def place_of(url: SplitResult, tls: ssl.SSLContext | None) -> Place:
    """Host, port and TLS settings of a URL; `tls` None: the platform's."""
    secure = url.scheme in ("https", "wss")
    port = url.port or (443 if secure else 80)
    return url.hostname or "", port, (tls or ssl.create_default_context()) if secure else None


class BrokenAnswerError(ConnectionError):
    """The connection ended within an answer, or the answer is invalid."""


class Answer(NamedTuple):
    """The head of an answer; header names are in lower case."""

    status: int
    headers: dict[str, str]


class HttpStream:
    """One connection; h11 reads and writes HTTP/1.1 on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES_MAX)

    @classmethod
    async def open(cls, host: str, port: int, tls: ssl.SSLContext | None) -> HttpStream:
        """Connects; raises OSError."""
        return cls(*await asyncio.open_connection(host, port, ssl=tls))

    async def ask(
        self, method: str, target: str, headers: dict[str, str], body: bytes | None = None
    ) -> Answer:
        """Sends a request and reads the head of its answer; raises OSError."""
        if self.is_kept:
            self._http.start_next_cycle()
        sized = headers if body is None else {**headers, "Content-Length": str(len(body))}
        try:
            request = h11.Request(method=method, target=target, headers=list(sized.items()))
        except h11.LocalProtocolError as error:
            raise ValueError(str(error)) from None
        for event in (request, h11.Data(data=body or b""), h11.EndOfMessage()):
            self._writer.write(self._http.send(event) or b"")
        await self._writer.drain()
        while isinstance(head := await self._event(), h11.InformationalResponse):
            pass
        if not isinstance(head, h11.Response):
            raise BrokenAnswerError("the connection ended")
        found = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        return Answer(head.status_code, found)

    async def body(self) -> AsyncIterator[bytes]:
        """The body, piece by piece as it arrives; raises OSError if it is truncated."""
        while isinstance(piece := await self._event(), h11.Data):
            yield bytes(piece.data)

    async def whole(self, bytes_max: int) -> bytes:
        """The body; it stops above `bytes_max`. Raises OSError if it is truncated."""
        body = bytearray()
        async for piece in self.body():
            body += piece
            if len(body) > bytes_max:
                break
        return bytes(body)

    @property
    def is_kept(self) -> bool:
        """Whether the connection is open for another request."""
        return self._http.our_state is self._http.their_state is h11.DONE

    async def _event(self) -> object:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(_PIECE_BYTES))
        except h11.RemoteProtocolError as error:
            raise BrokenAnswerError(str(error)) from None
        return event

    def abort(self) -> None:
        self._writer.transport.abort()


class HttpRequests:
    """Requests one after another over a persistent connection."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._stream: HttpStream | None = None

    async def ask(
        self,
        method: str,
        target: str,
        headers: dict[str, str],
        body: bytes | None = None,
        *,
        bytes_max: int = _BODY_BYTES_MAX,
    ) -> tuple[Answer, bytes]:
        """The answer and its body, which stops above `bytes_max`; raises OSError.

        The request is sent again if the server has closed the idle connection.
        """
        while True:
            is_reused, is_kept = self._stream is not None, False
            stream = self._stream = self._stream or await HttpStream.open(*self._place)
            try:
                answer = await stream.ask(method, target, headers, body)
                content = await stream.whole(bytes_max)
                is_kept = stream.is_kept
                return answer, content
            except OSError:
                # The server has closed the idle connection: the next one is new.
                if not is_reused:
                    raise
            finally:
                if not is_kept:
                    stream.abort()
                    self._stream = None

    def abort(self) -> None:
        """Ends the connection, and a request under way."""
        if self._stream is not None:
            self._stream.abort()


class HttpSocket:
    """The socket of one session; `dial` opens it."""

    def __init__(self, url: str, token: str, headers: dict[str, str], tls: ssl.SSLContext | None):
        """`url` is the WebSocket's."""
        parts = urlsplit(url)
        self._place = place_of(parts, tls)
        self._base = parts.path.removesuffix("/v1/socket")
        self._query = f"?{parts.query}"
        self._headers = {"Host": parts.netloc, **headers}
        self._token = token
        self.progress = "no answer to its request"
        self._path = ""
        self._batches = 0
        self._posting = asyncio.Lock()
        self._closes = False
        self._stream: HttpStream | None = None
        self._requests = HttpRequests(self._place)
        self._events: AsyncIterator[tuple[str, str]] | None = None

    async def open(self) -> HttpSocket:
        """Returns itself. Raises OSError, or the refusal."""
        polled = monotonic() < _POLLED.get(self._headers["Host"], 0)
        try:
            try:
                pieces = self._polls() if polled else self._pieces()
                await asyncio.wait_for(self._begin(pieces), None if polled else _HELD_SECONDS)
            except asyncio.TimeoutError:
                if self._stream is not None:
                    self._stream.abort()
                await self._begin(self._polls())
        except BaseException:
            self.abort()
            raise
        return self

    async def _begin(self, pieces: AsyncIterator[bytes]) -> None:
        self._events = _events(pieces)
        try:
            # No default: CPython may end that with a SystemError if it is a tuple (gh-128078).
            name, data = await anext(self._events)
        except StopAsyncIteration:
            name, data = "", ""
        if name != "session":
            raise BrokenAnswerError("the answer is no connection")
        self._path = self._base + str(json.loads(data)["path"])
        self.progress = "its session, and no WELCOME"

    async def _pieces(self) -> AsyncIterator[bytes]:
        """Reads the streaming answer."""
        stream = await self._listen(f"{self._base}/v1/connections{self._query}")
        self.progress = "HTTP 200, and no event: a proxy may hold it back"
        async for piece in stream.body():
            yield piece

    async def _polls(self) -> AsyncIterator[bytes]:
        """Polls: each answer ends once it has an event."""
        self.progress = "polled as its stream was held back: no answer to its request"
        target = f"{self._base}/v1/connections{self._query}&poll=0"
        for poll in count(1):
            stream = await self._listen(target)
            async for piece in stream.body():
                yield piece
            stream.abort()
            _POLLED[self._headers["Host"]] = monotonic() + _REMEMBERED_SECONDS
            await asyncio.sleep(_PAUSE_SECONDS)
            target = f"{self._path}&poll={poll}"

    async def _listen(self, target: str) -> HttpStream:
        """Sends the request on its own connection. Raises OSError, or the refusal."""
        self._stream = stream = await HttpStream.open(*self._place)
        answer = await stream.ask("GET", target, self._with("Accept", "text/event-stream"))
        if answer.status == 200:
            return stream
        body = await stream.whole(_BODY_BYTES_MAX)
        raise upgrade_error(answer.status, answer.headers, body)

    def _with(self, name: str, value: str) -> dict[str, str]:
        return {**self._headers, "Authorization": f"Bearer {self._token}", name: value}

    async def recv(self) -> bytes | str:
        """The next frame, or text for an invalid one. Raises ConnectionClosed at the end."""
        assert self._events is not None
        close = None
        try:
            async for name, data in self._events:
                if name == "message":
                    return _frame(data)
                if name == "closed":
                    parsed = json.loads(data)
                    close = Close(int(parsed["code"]), str(parsed["reason"]))
                    break
        except (OSError, ValueError, KeyError, TypeError, ArqonError) as error:
            if not self._closes:
                close = Close(1006, str(error))
        # The Shield has closed its side; without this the client would keep the socket open.
        self.abort()
        own = Close(1000, "") if self._closes else None
        # The exception needs an order of the two close frames: this side was first.
        raise ConnectionClosedError(close, own, False if close and own else None)

    async def send_some(self, unsent: deque[bytes]) -> int:
        """Sends the first frames of a queue in one request; returns their bytes. Raises OSError."""
        async with self._posting:
            body, count, size = bytearray(), 0, 0
            while unsent and count < _FRAMES_MAX:
                frame = unsent[0]
                if count > 0 and len(body) + len(frame) > _BATCH_BYTES:
                    break
                if frame[0] == _REFRESH:
                    # Requests use the connection's latest token.
                    self._token = Refresh.FromString(frame[1:]).token
                body += len(frame).to_bytes(4, "big") + frame
                size += len(unsent.popleft())
                count += 1
            if count > 0:
                await self._post(body)
        return size

    async def close(self, unsent: deque[bytes]) -> None:
        """Closes with 1000 after the queued frames; waits for the answer, 2 s at most."""
        self._closes = True
        # Without an answer the Shield ends the connection by its heartbeat.
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            await asyncio.wait_for(self._send_end(unsent), _CLOSE_SECONDS)
        self.abort()

    async def _send_end(self, unsent: deque[bytes]) -> None:
        while unsent:
            await self.send_some(unsent)
        async with self._posting:
            await self._post(bytes(4))

    async def _post(self, frames: bytes | bytearray) -> None:
        # If it is sent again, the Shield ignores it by its number.
        body = self._batches.to_bytes(4, "big") + frames
        self._batches += 1
        headers = self._with("Content-Type", "application/octet-stream")
        try:
            answer, _ = await self._requests.ask("POST", self._path, headers, body)
            if answer.status != 204:
                raise BrokenAnswerError(f"frames were answered with HTTP {answer.status}")
        except OSError:
            # Wakes a pending `recv`, which reports that the connection is lost.
            if self._stream is not None:
                self._stream.abort()
            raise

    @property
    def transport(self) -> HttpSocket:
        """This object, whose `abort` the session calls."""
        return self

    def abort(self) -> None:
        if self._stream is not None:
            self._stream.abort()
        self._requests.abort()


def _frame(data: str) -> bytes | str:
    """The frame in an event's data; the text itself if it has none."""
    try:
        return b64decode(json.loads(data), validate=True)
    except (ValueError, TypeError):
        return data


async def _events(pieces: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, str]]:
    """Server-sent events as (name, data), as the HTML standard parses them."""
    rest, name, data = b"", "message", list[str]()
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            text = line.decode().rstrip("\r")
            field, _, value = text.partition(":")
            if text == "":
                if data:
                    yield name, "\n".join(data)
                name, data = "message", []
            elif field == "event":
                name = value.removeprefix(" ")
            elif field == "data":
                data.append(value.removeprefix(" "))
