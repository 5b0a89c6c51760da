"""One session: its dial, over WebSocket or HTTP, then WELCOME, frames, ACKs of control requests and
the heartbeat, until its end.

HTTP is used where a proxy breaks WebSocket; this is remembered by host for a while.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from arqon._gen import Ack, Welcome
from arqon._session.close_reaction import upgrade_error
from arqon._session.deltas import DeltaBases
from arqon._session.http_socket import HttpSocket
from arqon._tasks import fail, resolve, within
from arqon._wire.frames import PING, PONG, Err, Ping, Pong, decode_server_frame, frame_of, malformed
from arqon.errors import ArqonError, error_from_wire, error_of

if TYPE_CHECKING:
    from arqon._driver import Driver

Answer: TypeAlias = "Ack | ArqonError"
Socket: TypeAlias = "ClientConnection | HttpSocket"
_LOG: Final = logging.getLogger("arqon")
# Above this the session counts as full: the outbox waits.
_UNSENT_BYTES_MAX: Final = 1_048_576
_PROTOCOL_VERSION: Final = 1


@dataclass(frozen=True)
class SessionEnd:
    """How a session ended; `close_reaction` decides what follows."""

    code: int
    """1006 without a close frame, 4408 when the server stopped answering."""
    reason: str
    last_error: ArqonError | None
    lost: ArqonError
    """The error of its unanswered requests."""


class Session:
    """One socket, created by `open_session`. Its tasks have ended once `ended` is done."""

    def __init__(self, socket: Socket, bus: Driver) -> None:
        """Starts reading and writing. `bus` receives what comes in."""
        loop = asyncio.get_running_loop()
        self._socket = socket
        self._bus = bus
        self._waiting: dict[int, tuple[Callable[[Answer], None], asyncio.TimerHandle]] = {}
        self._echoes: dict[bytes, asyncio.Future[bool]] = {}
        self._echo_number = 0
        self._unsent: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._full = False
        self._wake = asyncio.Event()
        self._silent_beats = 0
        self._welcome: Welcome | None = None
        self.last_error: ArqonError | None = None
        self.deltas = DeltaBases()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[SessionEnd] = loop.create_future()
        self._tasks = [loop.create_task(task) for task in (self._read(), self._write())]

    @property
    def welcome(self) -> Welcome:
        if self._welcome is None:
            raise RuntimeError("the session is not open")
        return self._welcome

    @property
    def connection_id(self) -> str:
        """The connection id from WELCOME; empty before it."""
        return "" if self._welcome is None else self._welcome.connection_id

    @property
    def over(self) -> bool:
        return self.ended.done()

    @property
    def writable(self) -> bool:
        """Whether more may be posted without queueing above 1 MiB."""
        return self._unsent_bytes < _UNSENT_BYTES_MAX

    def post(self, frame: bytes) -> None:
        """Sends a frame, after the frames posted before."""
        if self.over:
            return
        self._unsent.append(frame)
        self._unsent_bytes += len(frame)
        self._full = self._full or not self.writable
        self._wake.set()

    def ask(self, request_id: int, frame: bytes, on_answer: Callable[[Answer], None]) -> None:
        """Sends a control frame; calls back once, before the frame after the ACK is read."""
        if self.over:
            on_answer(error_of("connection-lost", "the session is over"))
            return
        timeout_ms = self._bus.options.request_timeout_ms
        loop = asyncio.get_running_loop()
        timer = loop.call_later(timeout_ms / 1_000, self._late, request_id, timeout_ms)
        self._waiting[request_id] = (on_answer, timer)
        self.post(frame)

    async def request(self, request_id: int, frame: bytes) -> Ack:
        """As `ask`, but returns the ACK, or raises the error."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.ask(request_id, frame, lambda answer: resolve(future, answer))
        answer = await future
        if isinstance(answer, ArqonError):
            raise answer
        return answer

    async def echo(self) -> bool:
        """True if the bus has received everything sent before, and the client its messages."""
        if self.over:
            return False
        self._echo_number += 1
        body = b"echo %d" % self._echo_number
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._echoes[body] = future
        self.post(frame_of(PING, body))
        return await future

    async def close(self) -> None:
        """Closes with 1000 and waits for the peer, 2 s at most."""
        if not self.over:
            if isinstance(self._socket, HttpSocket):
                closing = self._socket.close(self._unsent)
            else:
                closing = self._socket.close()
            await asyncio.gather(closing, return_exceptions=True)
        await self.abort()

    async def abort(self) -> None:
        """Ends it without waiting for the peer; returns when its tasks have ended."""
        self._finish(1006, "")
        own = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not own]
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        code, reason = 1006, ""
        try:
            while not self.over:
                data = await self._socket.recv()
                self._silent_beats = 0
                if isinstance(data, str):
                    raise malformed("a text frame on arqon.v1")
                await self._dispatch(data)
        except ConnectionClosed as closed:
            # Without the peer's close frame what the library itself objected to (1002, 1009), or
            # nothing: the transport was lost.
            close_frame = closed.rcvd or closed.sent
            if close_frame is not None:
                code, reason = close_frame.code, close_frame.reason
        except ArqonError as error:
            self.last_error, code, reason = error, 1002, error.message
        except OSError as error:
            reason = type(error).__name__
        except Exception:
            # Otherwise the same message would end one session after another.
            _LOG.exception("a message could not be handled: a bug of the SDK")
            code, reason = 1002, "a bug of the SDK"
        finally:
            self._finish(code, reason)

    async def _write(self) -> None:
        try:
            while True:
                while self._unsent:
                    self._unsent_bytes -= await self._send_some()
                    if self._full and self._unsent_bytes < _UNSENT_BYTES_MAX // 2:
                        self._full = False
                        self._bus.outbox.pump()
                self._wake.clear()
                await self._wake.wait()
        except (ConnectionClosed, OSError):
            return  # The reader detects the end, and reports it.

    async def _send_some(self) -> int:
        """Sends the first unsent frames, over WebSocket one; returns their bytes."""
        if isinstance(self._socket, HttpSocket):
            return await self._socket.send_some(self._unsent)
        frame = self._unsent.popleft()
        await self._socket.send(frame)
        return len(frame)

    async def _dispatch(self, data: bytes) -> None:
        frame = decode_server_frame(data, self._bus.options.proof is not None)
        if isinstance(frame, list):
            for envelope in frame:
                self.deltas.unfold(envelope)
            await self._bus.on_envelopes(frame, self)
        elif isinstance(frame, Ack):
            self._answer(frame)
        elif isinstance(frame, Err):
            self.last_error = self._here(error_from_wire(**asdict(frame)))
            self._bus.on_err(self.last_error)
        elif isinstance(frame, Ping):
            # A server that pings and does not read must not fill the memory.
            if self.writable:
                self.post(frame_of(PONG, frame.body))
        elif isinstance(frame, Pong):
            future = self._echoes.pop(frame.body, None)
            if future is not None:
                resolve(future, True)
        else:
            self._begin(frame)

    def _begin(self, welcome: Welcome) -> None:
        if self._welcome is not None:
            raise malformed("a second WELCOME")
        if welcome.protocol_version != _PROTOCOL_VERSION:
            version = f"protocol version {welcome.protocol_version}"
            raise malformed(f"{version}; this SDK speaks {_PROTOCOL_VERSION}")
        self._welcome = welcome
        if welcome.heartbeat_ms > 0:
            beat = self._beat(welcome.heartbeat_ms / 1_000)
            self._tasks.append(asyncio.get_running_loop().create_task(beat))
        resolve(self.opened, None)

    async def _beat(self, heartbeat_seconds: float) -> None:
        # The Shield pings once a heartbeat: after one missed ping the client pings, after three it
        # closes.
        while True:
            await asyncio.sleep(heartbeat_seconds)
            self._silent_beats += 1
            if self._silent_beats > 2:
                self._finish(4408, "heartbeat lost")
                return
            if self._silent_beats > 1:
                self.post(frame_of(PING))

    def _answer(self, ack: Ack) -> None:
        on_answer, timer = self._waiting.pop(ack.request_id, (None, None))
        if on_answer is None or timer is None:
            self._bus.outbox.answer(ack)
            return
        timer.cancel()
        on_answer(ack if ack.code == 0 else self._here(error_of_ack(ack)))

    def _here(self, error: ArqonError) -> ArqonError:
        error.connection_id = self.connection_id
        return error

    def _late(self, request_id: int, timeout_ms: int) -> None:
        on_answer, _ = self._waiting.pop(request_id)
        on_answer(self._here(error_of("answer-timeout", str(timeout_ms))))

    def _finish(self, code: int, reason: str) -> None:
        if self.over:
            return
        text = f"closed with {code}" + (reason and f": {reason}")
        lost = self._here(error_of("connection-lost", text))
        self.ended.set_result(SessionEnd(code, reason, self.last_error, lost))
        own = asyncio.current_task()
        for task in self._tasks:
            if task is not own:
                task.cancel()
        if code in (1002, 1006, 4408):
            self._socket.transport.abort()
        fail(self.opened, self.last_error or lost)
        waiting, self._waiting = self._waiting, {}
        for on_answer, timer in waiting.values():
            timer.cancel()
            on_answer(lost.again())
        for future in self._echoes.values():
            resolve(future, False)
        self._unsent.clear()


def error_of_ack(ack: Ack) -> ArqonError:
    return error_from_wire(ack.code, ack.reason, ack.message, ack.retry_after_ms)


# At DEBUG the library would log the request's headers, and with them the token.
_WIRE_LOG: Final = logging.getLogger("arqon.websocket")
_WIRE_LOG.setLevel(logging.INFO)
# Larger than any message that a Shield sends.
_FRAME_BYTES_MAX: Final = 33_554_432
_CLOSE_SECONDS: Final = 2
Transport: TypeAlias = Literal["auto", "websocket", "http"]
_REMEMBERED_SECONDS: Final = 600.0
# A WebSocket that breaks sooner may be cut by a proxy; this many in a row are.
_SHORT_SECONDS: Final = 10.0
_SHORT_LIVES: Final = 2
_BROKEN: Final = 1006
# The reasons that show that a proxy has removed the upgrade.
_IN_BETWEEN: Final = frozenset({"unreachable", "not-a-websocket", "connection-lost"})
_http_until: Final[dict[str, float]] = {}
_short_lives: Final[dict[str, int]] = {}


async def open_session(bus: Driver, url: str, token: str) -> Session:
    """Opens a session; returns after WELCOME, raises the reason why there is none."""
    transport = bus.options.transport
    if transport != "auto":
        return await _open(bus, url, token, transport == "http")
    host = urlsplit(url).netloc
    if time.monotonic() < _http_until.get(host, 0.0):
        try:
            return await _open(bus, url, token, True)
        except ArqonError:
            # The next attempt tries WebSocket again.
            del _http_until[host]
            raise
    try:
        session = await _open(bus, url, token, False)
    except ArqonError as error:
        if error.reason not in _IN_BETWEEN:
            raise
        try:
            session = await _open(bus, url, token, True)
        except ArqonError as other:
            raise (error if other.reason == "unreachable" else other) from None
        _remember(host)
    else:
        began = time.monotonic()
        session.ended.add_done_callback(
            lambda ended: _lived(host, time.monotonic() - began, ended.result())
        )
    return session


def _lived(host: str, seconds: float, end: SessionEnd) -> None:
    if end.code != _BROKEN or seconds >= _SHORT_SECONDS:
        _short_lives.pop(host, None)
        return
    _short_lives[host] = _short_lives.get(host, 0) + 1
    if _short_lives[host] >= _SHORT_LIVES:
        _remember(host)


def _remember(host: str) -> None:
    _short_lives.pop(host, None)
    _http_until[host] = time.monotonic() + _REMEMBERED_SECONDS


async def _open(bus: Driver, url: str, token: str, over_http: bool) -> Session:
    headers, tls = bus.options.headers, bus.options.tls
    timeout_ms = bus.options.handshake_timeout_ms
    timeout_seconds = timeout_ms / 1_000
    http = HttpSocket(url, token, headers, tls) if over_http else None
    try:
        # The token goes to one host only, so a redirect is a refusal.
        dialling: Awaitable[Socket] = (
            _dial(url, token, tls, headers) if http is None else http.open()
        )
        socket = await within(timeout_seconds, dialling, lambda late: late.transport.abort())
    except InvalidStatus as error:
        answer = error.response
        raise upgrade_error(answer.status_code, answer.headers, bytes(answer.body)) from None
    except asyncio.TimeoutError:
        raise _late("upgrade", timeout_ms, http) from None
    except (OSError, WebSocketException, EOFError, ValueError) as error:
        raise error_of("unreachable", f"{type(error).__name__}: {error}") from None
    session = Session(socket, bus)
    try:
        if not (await asyncio.wait({session.opened}, timeout=timeout_seconds))[0]:
            raise _late("WELCOME", timeout_ms, http)
        session.opened.result()
    except BaseException:
        await session.abort()
        raise
    return session


def _late(what: str, timeout_ms: int, http: HttpSocket | None) -> ArqonError:
    progress = "" if http is None else f"; over HTTP: {http.progress}"
    what = what if http is None else "WELCOME"
    return error_of("unreachable", f"no {what} within {timeout_ms} ms{progress}")


class _NoRedirect(connect):
    """The library's connector without redirects."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def _dial(
    url: str, token: str, tls: ssl.SSLContext | None, headers: dict[str, str]
) -> Socket:
    kwargs: Any = {} if tls is None else {"ssl": tls}
    return await _NoRedirect(
        url,
        subprotocols=[Subprotocol("arqon.v1")],
        additional_headers={**headers, "Authorization": f"Bearer {token}"},
        compression=None,
        open_timeout=None,
        ping_interval=None,
        close_timeout=_CLOSE_SECONDS,
        max_size=_FRAME_BYTES_MAX,
        logger=_WIRE_LOG,
        **kwargs,
    )
