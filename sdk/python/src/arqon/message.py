"""Received messages: `Message`, with its data decoded by content type; and the encoding of data."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias, cast

from google.protobuf.unknown_fields import UnknownFieldSet

from arqon._gen import Envelope, SystemSignal
from arqon.errors import ArqonError, error_of

SignalKind: TypeAlias = Literal["DISCONNECT", "BAN", "UNBAN", "REVOKE", "DRAIN", "GAP", ""]
# The reason of a GAP that replaces an unreadable message.
UNREADABLE: Final = "unreadable"
# An extra field of envelopes decoded as `ordered`, never from the wire: the header names as JSON,
# in received order. The hash of a message needs that order, and the runtime's maps have none.
ORDER_FIELD: Final = 15
JSON_TYPE: Final = "application/json"
TEXT_TYPE: Final = "text/plain"


@dataclass(frozen=True)
class Signal:
    """A message of the system instead of a publisher's payload.

    `GAP` means that messages of this room were lost at this point, for `reason`: `reconnect`,
    `lost`, `slow-consumer`, `changes-lost` (only changes of the room's state), `epoch-changed`,
    `history-trimmed`, `erased`, `too-many`, `offset-ahead`, `unreadable` (`Message.error`), or `N
    messages dropped here` by the subscription's own buffer.
    """

    kind: SignalKind
    target: str = ""
    reason: str = ""
    until_ms: int = 0


@dataclass(frozen=True)
class Message:
    """One item of a subscription. Text that the publisher did not set is empty, never None."""

    room: str
    type: str = ""
    """The event's type or the command's name; empty for a signal."""
    data: Any = None
    """JSON (`application/json`, `…+json`) as Python values, `text/…` as str, else bytes.

    Data that does not match its content type stays bytes; no data is `b""`.
    """
    sender: str = ""
    """User id, stamped by the Shield; empty for the bus itself."""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    timestamp_ms: int = 0
    """Unix ms, stamped by the Shield."""
    message_id: str = ""
    offset: int = 0
    """Offset in a durable room, otherwise 0."""
    epoch: str = ""
    """The epoch of that offset; empty if unknown."""
    trace_id: str = ""
    content_type: str = ""
    schema_id: str = ""
    raw: bytes = b""
    """The unchanged bytes of the data."""
    signal: Signal | None = None
    signature: bytes = b""
    """The publisher's signature of the payload, if it signs."""

    @property
    def id(self) -> str:
        """The bus's own id (its header `X-Twist-ID`), for `arq why --twist`.

        Empty for a signal. `message_id` is the publisher's, and optional.
        """
        return self.headers.get("X-Twist-ID", "")

    @property
    def error(self) -> ArqonError | None:
        """Set for a publisher's unreadable message.

        `signal` is then a GAP with reason `unreadable`; `offset`, `sender` and the Shield's other
        fields are set.
        """
        if self.signal is None or self.signal.reason != UNREADABLE:
            return None
        where = f"message {self.offset} of room {self.room}"
        return error_of("malformed-frame", f"from the server: {where}")

    @property
    def is_gap(self) -> bool:
        """Whether messages were lost at this point."""
        return self.signal is not None and self.signal.kind == "GAP"


def no_constant(name: str) -> Any:
    """For `json.loads`: raises ValueError."""
    raise ValueError(f"{name} is not JSON")


def json_of(raw: bytes) -> Any:
    """Strict JSON (RFC 8259): UTF-8 without a byte order mark, no NaN. Raises ValueError."""
    return json.loads(raw.decode(), parse_constant=no_constant)


def essence_of(content_type: str) -> str:
    """A content type without its parameters (RFC 9110, section 8.3.1)."""
    return content_type.partition(";")[0].strip().lower()


@lru_cache(maxsize=256)
def _form_of(content_type: str) -> Literal["json", "text", "bytes"]:
    kind = essence_of(content_type)
    if kind == JSON_TYPE or kind.endswith("+json"):
        return "json"
    return "text" if kind.startswith("text/") else "bytes"


def decode_data(raw: bytes, content_type: str) -> Any:
    """Decodes bytes by their content type.

    >>> decode_data(b'{"a":1}', "application/json"), decode_data(b"hi", "text/plain")
    ({'a': 1}, 'hi')
    >>> decode_data(b"{", "application/json"), decode_data(b"x", "")
    (b'{', b'x')
    """
    form = _form_of(content_type)
    try:
        if form == "json":
            return json_of(raw)
        return raw.decode() if form == "text" else raw
    except (ValueError, RecursionError):
        return raw


def encode_data(data: Any, content_type: str | None) -> tuple[bytes, str]:
    """A publisher's data as bytes, and its content type.

    bytes stay unchanged; str is `text/plain`, or JSON text if a JSON content type is given;
    anything else is written as JSON. Raises TypeError or ValueError for values that JSON cannot
    represent.

    >>> encode_data({"a": 1}, None), encode_data("hi", None), encode_data(b"x", "image/png")
    ((b'{"a":1}', 'application/json'), (b'hi', 'text/plain'), (b'x', 'image/png'))
    """
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(cast("bytes", data)), content_type or ""
    if isinstance(data, str):
        return data.encode(), content_type or TEXT_TYPE
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode(), content_type or JSON_TYPE


def message_of(envelope: Envelope, epoch: str = "", ordered: bool = False) -> Message:
    """The message in an envelope. `ordered`: it was decoded so; its headers keep their order."""
    event, signal = envelope.event, None
    type, raw, content_type = event.type, event.data, event.content_type
    if not envelope.HasField("event"):
        command = envelope.cmd
        type, raw, content_type = command.name, command.data, command.content_type
        signal = _signal_of(envelope.signal) if envelope.HasField("signal") else None
    headers: dict[str, str] = {}
    found = envelope.headers
    for name in _names_of(envelope) if ordered else found:
        headers[name] = found[name]
    # Called for each message: the constructor of a frozen dataclass would be a third of the SDK's
    # work for it.
    message = Message.__new__(Message)
    message.__dict__.update(
        room=envelope.room_id,
        type=type,
        data=raw if _form_of(content_type) == "bytes" else decode_data(raw, content_type),
        sender=envelope.sender_id,
        headers=headers,
        timestamp_ms=envelope.timestamp,
        message_id=envelope.message_id,
        offset=envelope.offset,
        epoch=epoch,
        trace_id=envelope.trace_id,
        content_type=content_type,
        schema_id=event.schema_id,
        raw=raw,
        signal=signal,
        signature=envelope.signature,
    )
    return message


def _names_of(envelope: Envelope) -> list[str]:
    # There is no other such field: decoding discards unknown fields from the wire.
    return cast("list[str]", json.loads(UnknownFieldSet(envelope)[0].data))


def _signal_of(signal: SystemSignal) -> Signal:
    names = SystemSignal.Kind.DESCRIPTOR.values_by_number
    known = names.get(signal.kind)
    name = "" if known is None or signal.kind == 0 else str(known.name).removeprefix("KIND_")
    return Signal(cast("SignalKind", name), signal.target, signal.reason, signal.until_ms)


def gap_message(room: str, reason: str) -> Message:
    """A GAP that the SDK itself inserts where messages were lost."""
    now_ms = int(time.time() * 1_000)
    return Message(room, timestamp_ms=now_ms, signal=Signal("GAP", room, reason))


def require_in(room: str, message: Message) -> None:
    """For loops that show no signals: raises if the bus ends the loop, after a kick or a ban."""
    signal = message.signal
    # A service may send signals, too.
    if signal is None or message.sender or signal.target != message.room:
        return
    reasons = {"BAN": "room-banned", "DISCONNECT": "disconnected"}
    if signal.kind in reasons:
        raise error_of(reasons[signal.kind], f"{room}: {signal.reason}")
