"""What no bus can decode, whatever its limits are, refused before it is sent.

The program learns at once which field it is. Everything else is the bus's to refuse.
"""

from __future__ import annotations

import re
from typing import Final

from arqon._gen.envelope_pb2 import Command, Envelope, Event
from arqon.errors import error_of

# The greatest values of `[limits]` `field_bytes`, `headers` and `header_bytes`.
_TEXT_BYTES_MAX: Final = 65_536
_HEADERS_MAX: Final = 1_024
_HEADER_BYTES_MAX: Final = 1_048_576
_TRACE_ID: Final = re.compile(r"(?!0{32})[0-9a-f]{32}")


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
        raise error_of("repeated-field", "a header name twice (case does not count)")
