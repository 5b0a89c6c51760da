"""Frames of `arqon.v1` to and from bytes: an opcode and a Protobuf body."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from google.protobuf.message import Message

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
from arqon._wire.wire import (
    PREFIX_BYTES_MAX,
    SAFE_MAX,
    check,
    fields_below,
    malformed,
    read,
    read_strictly,
    read_varint,
    safe,
    split_off,
    text_pairs,
    varint,
)
from arqon.errors import ArqonError
from arqon.message import ORDER_FIELD, UNREADABLE, json_of

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
