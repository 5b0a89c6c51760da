"""Frames of `arqon.v1` to and from bytes: an opcode and a Protobuf body, read strictly.

The runtime of Protobuf skips groups, truncates large numbers, and uses the last one of a repeated
field: two readers could decode one frame differently. So its readings are checked here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from arqon._gen import (
    Ack,
    Command,
    Envelope,
    Event,
    History,
    PresenceLeave,
    PresenceUpdate,
    SystemSignal,
    Welcome,
)
from arqon.errors import ArqonError, error_of
from arqon.message import ORDER_FIELD, UNREADABLE, json_of

_Message = TypeVar("_Message", bound=Message)

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES: Final = {_FIXED64: 8, _FIXED32: 4}
_OF_BYTES: Final = (
    FieldDescriptor.TYPE_STRING,
    FieldDescriptor.TYPE_BYTES,
    FieldDescriptor.TYPE_MESSAGE,
)
# The most bytes of a number: 64 bits.
VARINT_BYTES_MAX: Final = 10
# The most bytes of a tag or a length. Runtimes differ: since protobuf 7 Google's refuses more.
PREFIX_BYTES_MAX: Final = 5
# Above this, JavaScript cannot represent every integer.
SAFE_MAX: Final = 2**53 - 1


def malformed(what: str) -> ArqonError:
    """The error for invalid bytes from the server."""
    return error_of("malformed-frame", f"from the server: {what}")


def safe(value: int, name: str) -> int:
    """The number, if every language can represent it."""
    if -SAFE_MAX <= value <= SAFE_MAX:
        return value
    raise malformed(f"{name} is beyond 2^53")


def built(kind: Callable[..., _Message], **fields: object) -> _Message:
    """A message to the server. Raises `InvalidField` for half of a surrogate pair."""
    try:
        return kind(**fields)
    except UnicodeEncodeError:
        raise error_of("invalid-field", "lone surrogate") from None


def read(kind: type[_Message], body: bytes) -> _Message:
    """Decodes a message by the runtime; `MalformedFrame` if that refuses it."""
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise malformed(str(error)) from None


def read_strictly(kind: type[_Message], body: bytes) -> _Message:
    """Runs `read` and `check`."""
    message = read(kind, body)
    check(kind, body, strict=True)
    return message


def check(kind: type[Message], body: bytes, *, strict: bool) -> None:
    """Raises `MalformedFrame` for an invalid encoding; `strict`: also for repeated fields."""
    # Some releases of the stubs have no type for the descriptor.
    _scan(body, cast("Descriptor", kind.DESCRIPTOR), strict)


def _scan(body: bytes, shape: Descriptor, strict: bool) -> None:
    seen: set[int] = set()
    for number, wire, value in _fields(body):
        field = shape.fields_by_number.get(number)
        if field is None:
            continue
        fits = wire == (_BYTES if field.type in _OF_BYTES else _VARINT)
        if strict:
            # In these messages only embedded messages are repeated.
            if not fits or (number in seen and field.message_type is None):
                raise malformed(f"{shape.name}.{field.name} comes twice or as another type")
            seen.add(number)
        if not fits:
            continue
        if isinstance(value, int):
            _check_range(field, value)
        elif field.message_type is not None:
            _scan(value, field.message_type, strict)


def text_pairs(body: bytes, number: int) -> Iterator[tuple[str, str]]:
    """The entries of a map of text to text, in wire order; `body` has been checked."""
    for found, wire, entry in _fields(body):
        if found != number or wire != _BYTES or isinstance(entry, int):
            continue
        parts = {1: b"", 2: b""}
        for part, kind, value in _fields(entry):
            if kind == _BYTES and part in parts and not isinstance(value, int):
                parts[part] = value
        try:
            yield parts[1].decode(), parts[2].decode()
        except UnicodeDecodeError:
            raise malformed("a map's text is not UTF-8") from None


def fields_below(body: bytes, number: int) -> bytes:
    """The fields below a number, re-encoded, of a body whose other fields may be damaged. Raises
    `MalformedFrame` if a tag or length is invalid.
    """
    fields = _fields(body, VARINT_BYTES_MAX)
    return b"".join(_written(*field) for field in fields if field[0] < number)


def split_off(body: bytes, number: int) -> tuple[list[bytes], bytes]:
    """The messages in the repeated field with that number, and all other fields."""
    messages: list[bytes] = []
    rest: list[bytes] = []
    for found, wire, value in _fields(body):
        if found == number and not isinstance(value, int):
            messages.append(value)
        else:
            rest.append(_written(found, wire, value))
    return messages, b"".join(rest)


def _written(number: int, wire: int, value: int | bytes) -> bytes:
    tag = varint(number << 3 | wire)
    if isinstance(value, int):
        return tag + varint(value)
    return tag + varint(len(value)) + value if wire == _BYTES else tag + value


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _fields(
    body: bytes, prefix_bytes_max: int = PREFIX_BYTES_MAX
) -> Iterator[tuple[int, int, int | bytes]]:
    """Number, wire type and value of each field, in wire order."""
    at = 0
    while at < len(body):
        tag, at = read_varint(body, at, prefix_bytes_max)
        number, wire = tag >> 3, tag & 7
        if not 8 <= tag <= 0xFFFFFFFF or wire not in (_VARINT, _FIXED64, _BYTES, _FIXED32):
            raise malformed(f"field {number} of wire type {wire}")
        if wire == _VARINT:
            value, at = read_varint(body, at)
            yield number, wire, value
            continue
        size = _FIXED_SIZES.get(wire)
        if size is None:
            size, at = read_varint(body, at, prefix_bytes_max)
        if size > len(body) - at:
            raise malformed(f"truncated in field {number}")
        yield number, wire, body[at : at + size]
        at += size


def _check_range(field: FieldDescriptor, value: int) -> None:
    signed = value - 2**64 if value >= 2**63 else value
    if field.type == FieldDescriptor.TYPE_INT64:
        safe(signed, field.name)
    elif (field.type == FieldDescriptor.TYPE_UINT32 and value > 0xFFFFFFFF) or (
        field.type == FieldDescriptor.TYPE_ENUM and not -(2**31) <= signed < 2**31
    ):
        raise malformed(f"{field.name} is beyond 32 bits")


def read_varint(data: bytes, at: int, bytes_max: int = VARINT_BYTES_MAX) -> tuple[int, int]:
    """The number of up to 64 bits at `at`, and the position after it."""
    value = shift = 0
    while at < len(data) and shift < 7 * bytes_max:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 2**64:
                break
            return value, at
        shift += 7
    raise malformed("a number that is cut, or of too many bits")


WELCOME: Final = 0x00
PUB: Final = 0x01
SUB: Final = 0x02
UNSUB: Final = 0x03
MSG: Final = 0x04
BATCH: Final = 0x05
REFRESH: Final = 0x06
PING: Final = 0x07
PONG: Final = 0x08
ACK: Final = 0x09
ERR: Final = 0x99

# Most bytes of a PING or PONG body.
PING_BYTES_MAX: Final = 125
# From this value on a number has ten bytes, and the runtime may have truncated it.
_CUT_MIN: Final = 2**63
# The same for fields of 32 bits, with five bytes.
_CUT_MIN_32: Final = 2**28


@dataclass(frozen=True)
class Ping:
    """A PING of the Shield: answered with a PONG of the same body."""

    body: bytes


@dataclass(frozen=True)
class Pong:
    """The answer to a PING of this client."""

    body: bytes


@dataclass(frozen=True)
class Err:
    """A refusal without a request; absent values are 0 or empty."""

    code: int
    reason: str = ""
    message: str = ""
    retry_after_ms: int = 0
    room_id: str = ""
    action: str = ""


ServerFrame: TypeAlias = Welcome | list[Envelope] | Ack | Err | Ping | Pong


def payload_field(payload: Event | Command) -> bytes:
    """The payload field of an envelope as on the wire, with tag and length."""
    body = payload.SerializeToString(deterministic=True)
    tag = b"\xaa\x01" if isinstance(payload, Event) else b"\xa2\x01"
    return tag + varint(len(body)) + body


def encode_pub(envelope: Envelope, payload: bytes) -> bytes:
    """A PUB of an envelope and its signed field from `payload_field`, unchanged."""
    return bytes((PUB,)) + envelope.SerializeToString(deterministic=True) + payload


def frame_of(opcode: int, body: Message | bytes = b"") -> bytes:
    """A frame of the client."""
    return bytes((opcode,)) + (body if isinstance(body, bytes) else body.SerializeToString())


def decode_server_frame(data: bytes, ordered: bool = False) -> ServerFrame:
    """Decodes one binary message of a Shield. Raises `MalformedFrame`.

    `ordered`: envelopes keep the order of their headers, for `message_of`.
    """
    if not data:
        raise malformed("an empty frame")
    opcode, body = data[0], data[1:]
    if opcode == MSG:
        return [_routed(body, ordered)]
    if opcode == BATCH:
        return _batch(body, ordered)
    if opcode == ACK:
        return _ack(body)
    if opcode == WELCOME:
        return read_strictly(Welcome, body)
    if opcode in (PING, PONG):
        if len(body) > PING_BYTES_MAX:
            raise malformed(f"{len(body)} ping bytes, at most {PING_BYTES_MAX}")
        return Ping(body) if opcode == PING else Pong(body)
    if opcode == ERR and len(body) >= 2:
        return _err(body)
    raise malformed(f"opcode {opcode:#04x}")


def _err(body: bytes) -> Err:
    """The message is every line except the last one; a single line is the message."""
    code = int.from_bytes(body[:2], "big")
    try:
        message, feed, line = body[2:].decode().rpartition("\n")
        if not feed:
            return Err(code, message=line)
        about: dict[str, Any] = json.loads(line) if line.startswith("{") else {"reason": None}
    except (ValueError, RecursionError):
        raise malformed("an ERR that cannot be read") from None
    texts = [about.get(name, "") for name in ("reason", "room", "action")]
    wait = about.get("retry_after_ms", 0)
    # In Python True is an int.
    is_wait = type(wait) is int and 0 <= wait < 2**32
    if not (is_wait and all(isinstance(text, str) for text in texts)):
        raise malformed("an ERR whose last line says nothing that can be read")
    reason, room_id, action = texts
    return Err(code, reason, message, wait, room_id, action)


def decode_presence(event_type: str, data: bytes) -> PresenceUpdate | PresenceLeave:
    """The data of a presence event. Raises `MalformedFrame`."""
    if event_type == "PRESENCE_LEAVE":
        return read_strictly(PresenceLeave, data)
    return read_strictly(PresenceUpdate, data)


def decode_history(body: bytes, ordered: bool = False) -> History:
    """The answer to `history.get`; its envelopes are as in frames. Raises `MalformedFrame`."""
    messages, rest = split_off(body, History.MESSAGES_FIELD_NUMBER)
    history = read(History, rest)
    history.messages.extend(_routed(message, ordered) for message in messages)
    return history


def answer_of(ack: Ack) -> Any:
    """The JSON of an ACK; None if it has none."""
    try:
        return json_of(ack.result) if ack.result else None
    except (ValueError, RecursionError):
        raise malformed("an answer that is no JSON") from None


def sub_answer_of(ack: Ack) -> dict[str, Any]:
    """The JSON object of a SUB's ACK; empty if it has none."""
    answer: Any = answer_of(ack) if ack.result else {}
    if isinstance(answer, dict):
        return cast("dict[str, Any]", answer)
    raise malformed("the answer to SUB is no JSON object")


def fields(answer: Any, **kinds: type) -> dict[str, Any]:
    """The answer, an object with these members of these types.

    >>> fields({"version": 7, "epoch": "e"}, version=int)["epoch"]
    'e'
    """
    found = cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
    for name, kind in kinds.items():
        if type(found.get(name)) is not kind:
            raise malformed(f"an answer without {name} ({kind.__name__})")
    return found


def _ack(body: bytes) -> Ack:
    ack = read(Ack, body)
    # As with envelopes, the usual encoding needs no second check.
    ack.DiscardUnknownFields()
    is_plain = (
        ack.request_id < _CUT_MIN
        and ack.offset < _CUT_MIN
        and ack.code < _CUT_MIN_32
        and ack.retry_after_ms < _CUT_MIN_32
        and ack.ByteSize() == len(body)
    )
    if not is_plain:
        check(Ack, body, strict=True)
    return ack


def _envelope(body: bytes, ordered: bool) -> Envelope:
    envelope = read(Envelope, body)
    # Unknown or repeated fields and unusual encodings change the size; truncated numbers have a
    # large value. Without either, which is the normal case, the envelope needs no second check.
    envelope.DiscardUnknownFields()
    is_plain = (
        envelope.HasField("event")
        and 0 <= envelope.timestamp <= SAFE_MAX
        and envelope.offset < _CUT_MIN
        and envelope.request_id < _CUT_MIN
        and envelope.ByteSize() == len(body)
    )
    if not is_plain:
        check(Envelope, body, strict=False)
        # The runtime drops headers that contain unknown fields.
        for name, value in text_pairs(body, Envelope.HEADERS_FIELD_NUMBER):
            envelope.headers[name] = value
        safe(envelope.timestamp, "timestamp")
    if ordered:
        names = [name for name, _ in text_pairs(body, Envelope.HEADERS_FIELD_NUMBER)]
        order = json.dumps(names).encode()
        envelope.MergeFromString(varint(ORDER_FIELD << 3 | 2) + varint(len(order)) + order)
    return envelope


def _routed(body: bytes, ordered: bool) -> Envelope:
    """An envelope that a Shield routed.

    The sender's part may be unreadable, if an older Shield stored it without a strict check. Then a
    GAP with reason `unreadable` replaces the payload; the Shield's fields, such as room and offset,
    stay. Raises `MalformedFrame` without a room.
    """
    try:
        return _envelope(body, ordered)
    except ArqonError:
        torn = _envelope(fields_below(body, Envelope.SIGNATURE_FIELD_NUMBER), ordered)
        if not torn.room_id:
            raise
        torn.signal.kind = SystemSignal.KIND_GAP
        torn.signal.target = torn.room_id
        torn.signal.reason = UNREADABLE
        return torn


def _batch(body: bytes, ordered: bool) -> list[Envelope]:
    envelopes: list[Envelope] = []
    at = 0
    while at < len(body):
        length, at = read_varint(body, at, PREFIX_BYTES_MAX)
        if length > len(body) - at:
            raise malformed("a truncated BATCH")
        envelopes.append(_routed(body[at : at + length], ordered))
        at += length
    return envelopes
