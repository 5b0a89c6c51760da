"""Publishes and commands: checked, signed, queued, sent, and settled by their ACKs.

The queue is one bounded FIFO with a window of unanswered requests. They are sent in the order of
their ids, retries included. A 429 pauses all requests, because it is about the connection; so does
a 503, except `log-unavailable`, which pauses only its room. A message without a trace gets a new
one, so that `arq why --trace` can find it.
"""

from __future__ import annotations

import asyncio
import bisect
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from arqon._gen import Ack, Command, Envelope, Event
from arqon._session.session import Session, error_of_ack
from arqon._tasks import fail, resolve, within
from arqon._wire.frames import encode_pub, payload_field
from arqon.errors import ArqonError, error_of
from arqon.signing import Signer, signing_input

if TYPE_CHECKING:
    from arqon._driver import Driver
    from arqon.options import Options

# Wait before the first retry after a 503 without a retry time; doubled up to the maximum.
_RETRY_MS: Final = 250
_RETRY_MAX_MS: Final = 2_000


@dataclass(eq=False)
class Request:
    """One publish or command, already encoded. `answer` is set exactly once, or cancelled."""

    id: int
    room: str
    frame: bytes
    answered: bool
    """An ACK answers it; if not, it gets an empty one when it is passed to the session."""
    repeatable: bool
    """It has an idempotency key: resending it has no second effect."""
    deadline: float
    """On the clock of `time.monotonic`, in seconds."""
    answer: asyncio.Future[Ack]
    is_signed: bool
    """False: neither it nor later requests of its room are sent until `seal`."""
    failures: int = 0
    sink: Session | None = None
    """The session that it was sent to, until that has answered."""

    def fail(self, error: ArqonError) -> None:
        fail(self.answer, error.again())


class Outbox:
    """Keeps requests from `add` until they are settled or forgotten."""

    def __init__(self, options: Options) -> None:
        """Empty. With `get_token` requests refused for an expired token wait for a reconnect."""
        self._options = options
        self._queue: list[Request] = []
        self._queue_bytes = 0
        self._in_flight: dict[int, Request] = {}
        self._sink: Session | None = None
        self._mixed = False
        """A request in flight may have been sent to another session than the present one."""
        self._paused_until = 0.0
        self._holds: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, request: Request) -> None:
        """Adds a request; raises `TooManyPending` if the queue is full."""
        over = self._queue and self._queue_bytes + len(request.frame) > self._options.queue_bytes
        if len(self._queue) >= self._options.queue or over:
            raise error_of("too-many-pending", f"{len(self._queue)} requests wait in this client")
        self._queue.append(request)
        self._queue_bytes += len(request.frame)
        self.pump()

    def seal(self, request: Request, frame: bytes) -> None:
        """Replaces the frame of an unsigned request by the signed one, of the same length."""
        request.frame, request.is_signed = frame, True
        self.pump()

    def forget(self, request: Request) -> None:
        """Forgets an abandoned request: it is not sent if it was not yet; its ACK is ignored."""
        if self._in_flight.pop(request.id, None) is None and request in self._queue:
            self._queue.remove(request)
            self._queue_bytes -= len(request.frame)
        self.pump()

    def connected(self, sink: Session) -> None:
        """The connection is open: unanswered repeatable requests are sent first."""
        self._sink = sink
        self._mixed = bool(self._in_flight)
        self.pump()

    def pause(self) -> None:
        """Stops sending until `connected`; sent requests may still be answered."""
        self._sink = None

    def under_way(self, sink: Session) -> int:
        """The number of unanswered requests of this session."""
        return sum(1 for request in self._in_flight.values() if request.sink is sink)

    def disconnected(self, sink: Session, error: ArqonError) -> None:
        """The session is lost: requests that cannot be repeated safely fail with `error`."""
        if self._sink is sink:
            self._sink = None
        for request in [r for r in self._in_flight.values() if r.sink is sink]:
            del self._in_flight[request.id]
            if request.repeatable:
                self._requeue(request)
            else:
                request.fail(error)
        self.pump()

    def close(self, error: ArqonError) -> None:
        """All requests fail; the outbox is empty afterwards."""
        everything = [*self._in_flight.values(), *self._queue]
        self._sink = None
        self._in_flight.clear()
        self._queue.clear()
        self._queue_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
        for request in everything:
            request.fail(error)

    def answer(self, ack: Ack) -> None:
        """Settles a request with its ACK; an unknown one is ignored."""
        request = self._in_flight.pop(ack.request_id, None)
        if request is None:
            return
        if ack.code == 0:
            resolve(request.answer, ack)
        else:
            error = error_of_ack(ack)
            error.connection_id = "" if request.sink is None else request.sink.connection_id
            self._refused(request, error)
        self.pump()

    def pump(self) -> None:
        """Sends as much as window, holds and socket allow."""
        sink = self._sink
        if sink is None or not self._queue:
            return
        now = time.monotonic()
        if self._paused_until > now:
            self._wake_at(self._paused_until, now)
            return
        if self._holds:
            self._holds = {room: until for room, until in self._holds.items() if until > now}
        waiting: set[str] = set()
        if self._mixed:
            waiting = {r.room for r in self._in_flight.values() if r.sink is not sink}
            self._mixed = bool(waiting)
        held: list[Request] = []
        taken = 0
        for request in self._queue:
            if len(self._in_flight) >= self._options.window or not sink.writable:
                break
            taken += 1
            if not request.is_signed:
                waiting.add(request.room)
            if request.room in self._holds or request.room in waiting:
                held.append(request)
                continue
            self._queue_bytes -= len(request.frame)
            sink.post(request.frame)
            if request.answered:
                request.sink = sink
                self._in_flight[request.id] = request
            else:
                resolve(request.answer, Ack())
        if taken > len(held):
            self._queue[:taken] = held
        if self._holds:
            self._wake_at(min(self._holds.values()), now)

    def _wake_at(self, when: float, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(max(0.0, when - now), self.pump)

    def _refused(self, request: Request, error: ArqonError) -> None:
        """Retries after 429, which had no effect; after 503 only with an idempotency key.

        Neither if the reason forbids a retry: a failed call is remembered under its key, and each
        retry would get that answer and delay the others.
        """
        expired = self._options.get_token is not None and error.entry.client == "refresh-token"
        if error.reason == "draining" or expired:
            # It was refused without effect, and the Shield will close.
            if self._sink is request.sink:
                self._sink = None
            self._requeue(request)
            return
        again = (error.code == 429 and error.entry.client == "back-off") or (
            error.code == 503 and error.retryable and request.repeatable
        )
        least_ms = 1
        if error.code == 503:
            least_ms = min(_RETRY_MS * 2 ** min(request.failures, 10), _RETRY_MAX_MS)
        wait_ms = max(error.retry_after_ms, least_ms)
        until = time.monotonic() + wait_ms * (1 + self._options.random() * 0.1) / 1_000
        if not again or until > request.deadline:
            request.fail(error)
            return
        request.failures += error.code == 503
        if error.reason == "log-unavailable":
            self._holds[request.room] = max(self._holds.get(request.room, 0.0), until)
        else:
            self._paused_until = max(self._paused_until, until)
        self._requeue(request)

    def _requeue(self, request: Request) -> None:
        """Queues a request again at its position."""
        request.sink = None
        bisect.insort(self._queue, request, key=lambda r: r.id)
        self._queue_bytes += len(request.frame)


_SIGNATURE_BYTES: Final = 64
# The greatest values of `[limits]` `field_bytes`, `headers` and `header_bytes`.
_TEXT_BYTES_MAX: Final = 65_536
_HEADERS_MAX: Final = 1_024
_HEADER_BYTES_MAX: Final = 1_048_576
_TRACE_ID: Final = re.compile(r"(?!0{32})[0-9a-f]{32}")
# Any version, ids that are not all zero, and the fields of version 00.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)


async def send(
    bus: Driver,
    envelope: Envelope,
    payload: Event | Command,
    *,
    keyed: bool,
    timeout_ms: int | None,
    ack: bool = True,
) -> Ack:
    """Returns the ACK, an empty one without `ack`. `keyed`: it may be sent again.

    Raises the refusal, `ConnectionLost`, `AnswerTimeout`, `TooManyPending`, `MessageTooLarge`,
    `ConnectionClosed`, `SigningFailed`.
    """
    try:
        check_outgoing(envelope, payload)
        wait_ms = bus.options.request_timeout_ms if timeout_ms is None else timeout_ms
        if bus.over:
            raise bus.closed_error()
        if bus.options.offline == "refuse" and bus.status.state != "open":
            raise error_of("connection-lost", "there is no connection, and offline is 'refuse'")
        field = payload_field(payload)
        request = _queued(bus, envelope, field, ack, keyed, wait_ms)
        return await _answer(bus, request, envelope, field, wait_ms)
    except ArqonError as error:
        # Each request has its own error object.
        error.trace_id = envelope.trace_id
        error.connection_id = error.connection_id or bus.connection_id
        raise


def _queued(
    bus: Driver, envelope: Envelope, field: bytes, ack: bool, keyed: bool, wait_ms: int
) -> Request:
    """Queues the request; it is sent once it is signed and there is a connection."""
    request_id, is_signed = bus.next_id(), bus.options.signer is None
    if ack:
        envelope.ack_requested, envelope.request_id = True, request_id
    if not is_signed:
        envelope.signature = bytes(_SIGNATURE_BYTES)
    frame = encode_pub(envelope, field)
    max_bytes = bus.welcomed.max_frame_bytes
    if len(frame) > max_bytes:
        text = f"a frame of {len(frame)} bytes; the Shield takes {max_bytes}"
        raise error_of("message-too-large", text)
    answer: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
    deadline = time.monotonic() + wait_ms / 1_000
    request = Request(request_id, envelope.room_id, frame, ack, keyed, deadline, answer, is_signed)
    bus.outbox.add(request)
    return request


async def _answer(
    bus: Driver, request: Request, envelope: Envelope, field: bytes, wait_ms: int
) -> Ack:
    # A timer instead of wait_for, which may lose a cancellation or the answer.
    timer = asyncio.get_running_loop().call_later(
        wait_ms / 1_000, lambda: request.fail(error_of("answer-timeout", str(wait_ms)))
    )
    try:
        if not request.is_signed:
            envelope.signature = await _signature(bus, envelope, field, wait_ms)
            bus.outbox.seal(request, encode_pub(envelope, field))
        return await request.answer
    except BaseException:
        bus.outbox.forget(request)
        raise
    finally:
        timer.cancel()


async def _signature(bus: Driver, envelope: Envelope, field: bytes, wait_ms: int) -> bytes:
    room, message_id = envelope.room_id, envelope.message_id
    signed = signing_input(bus.welcomed.tenant_id, room, message_id, field)
    try:
        signature = cast("Signer", bus.options.signer).sign(signed)
        if not isinstance(signature, bytes):
            signature = await within(wait_ms / 1_000, signature)
    except asyncio.TimeoutError:
        raise error_of("answer-timeout", str(wait_ms)) from None
    except Exception as error:
        raise error_of("signing-failed", str(error)) from error
    given: object = signature
    if isinstance(given, bytes) and len(given) == _SIGNATURE_BYTES:
        return given
    size = f"{len(given)} bytes" if isinstance(given, bytes) else type(given).__name__
    text = f"the signer gave {size}; expected {_SIGNATURE_BYTES} bytes"
    raise error_of("signing-failed", text)


def check_outgoing(envelope: Envelope, payload: Event | Command) -> None:
    """Raises `InvalidField`, `TooManyHeaders` or `RepeatedField`."""
    if envelope.trace_id and _TRACE_ID.fullmatch(envelope.trace_id) is None:
        text = f"trace_id {envelope.trace_id[:100]!r}: 32 lowercase hex digits, not all zero"
        raise error_of("invalid-field", text)
    texts = {"message_id": envelope.message_id, "content_type": payload.content_type}
    if isinstance(payload, Event):
        texts |= {"type": payload.type, "schema_id": payload.schema_id}
    else:
        texts |= {"name": payload.name, "epoch": payload.epoch, "command_id": payload.command_id}
    for name, text in texts.items():
        # A character has at most four bytes.
        if len(text) > _TEXT_BYTES_MAX // 4 and len(text.encode()) > _TEXT_BYTES_MAX:
            raise error_of("invalid-field", f"{name}: more than {_TEXT_BYTES_MAX} bytes")
    headers = envelope.headers
    if not headers:
        return
    size_bytes = sum(len(name.encode()) + len(value.encode()) for name, value in headers.items())
    if len(headers) > _HEADERS_MAX or size_bytes > _HEADER_BYTES_MAX:
        text = (
            f"{len(headers)} with {size_bytes} bytes; at most {_HEADERS_MAX}, {_HEADER_BYTES_MAX}"
        )
        raise error_of("too-many-headers", text)
    if len({name.lower() for name in headers}) < len(headers):
        raise error_of("repeated-field", "a header name twice (in any case)")


def traced_by(
    trace_id: str | None,
    traceparent: str | None,
    headers: Mapping[str, str] | None,
    current: Callable[[], str | None] | None,
) -> tuple[str, dict[str, str]]:
    """The envelope's trace id (a new one if none is given) and headers.

    `current` returns the traceparent of the active span, for example from an OpenTelemetry
    propagator. Raises ValueError for an invalid traceparent, or one of another trace.
    """
    parent, sent = traceparent, dict(headers or {})
    if parent is None and trace_id is None and current is not None:
        parent = current()
    if parent is None:
        return trace_id or secrets.token_hex(16), sent
    found = _TRACEPARENT.fullmatch(parent)
    if found is None:
        raise ValueError(f"traceparent is {parent[:100]!r}; expected 00-<32>-<16>-<2 hex digits>")
    if trace_id is not None and trace_id != found[1]:
        raise ValueError("traceparent is of another trace than trace_id; give one of them")
    return found[1], {**sent, "traceparent": parent}
