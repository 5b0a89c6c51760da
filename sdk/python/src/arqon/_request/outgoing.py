"""The trace of a message, and the check of envelopes that no bus can decode.

A message without a trace gets a new one, so that `arq why --trace` can find it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Final

from arqon._gen import Command, Envelope, Event
from arqon.errors import error_of

# The greatest values of `[limits]` `field_bytes`, `headers` and `header_bytes`.
_TEXT_BYTES_MAX: Final = 65_536
_HEADERS_MAX: Final = 1_024
_HEADER_BYTES_MAX: Final = 1_048_576
_TRACE_ID: Final = re.compile(r"(?!0{32})[0-9a-f]{32}")
# Any version, ids that are not all zero, and the fields of version 00.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)


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
    headers: dict[str, str],
    current: Callable[[], str | None] | None,
) -> tuple[str, dict[str, str]]:
    """The envelope's trace id (a new one if none is given) and headers.

    `current` returns the traceparent of the active span, for example from an OpenTelemetry
    propagator. Raises ValueError for an invalid traceparent, or one of another trace.
    """
    parent = traceparent
    if parent is None and trace_id is None and current is not None:
        parent = current()
    if parent is None:
        return trace_id or secrets.token_hex(16), headers
    found = _TRACEPARENT.fullmatch(parent)
    if found is None:
        raise ValueError(f"traceparent is {parent[:100]!r}; expected 00-<32>-<16>-<2 hex digits>")
    if trace_id is not None and trace_id != found[1]:
        raise ValueError("traceparent is of another trace than trace_id; give one of them")
    return found[1], {**headers, "traceparent": parent}
