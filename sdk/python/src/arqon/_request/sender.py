"""Sends a publish or command: checks it, signs it, posts it, awaits its ACK.

A message without a trace gets a new one, so that `arq why --trace` can find it.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, cast

from arqon._gen import Ack, Command, Envelope, Event
from arqon._request.outbox import Request
from arqon._time.clock import within
from arqon._wire.frames import encode_pub, payload_field
from arqon.errors import ArqonError, error_of
from arqon.signing import Signer, signing_input

if TYPE_CHECKING:
    from arqon._connection.driver import Driver

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
