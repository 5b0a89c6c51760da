"""Frames of `arqon.v1` to and from bytes: an opcode and a Protobuf body. Knows no socket.

What a server frame says is handed out as the generated messages; programs see `Message` and
`ArqonError` instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from google.protobuf.message import DecodeError

from arqon._gen.control_pb2 import Ack, Refresh, Subscribe, Unsubscribe, Welcome
from arqon._gen.envelope_pb2 import Command, Envelope, Event
from arqon.errors import ArqonError, error_from_wire, error_of

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


@dataclass(frozen=True)
class Ping:
    """A PING of the Shield: answered with a PONG of the same body."""

    body: bytes


@dataclass(frozen=True)
class Pong:
    """The answer to a PING of this client."""

    body: bytes


ServerFrame: TypeAlias = Welcome | list[Envelope] | Ack | ArqonError | Ping | Pong


def payload_field(payload: Event | Command) -> bytes:
    """The payload field of an envelope as it stands on the wire, with tag and length."""
    body = payload.SerializeToString(deterministic=True)
    tag = b"\xaa\x01" if isinstance(payload, Event) else b"\xa2\x01"
    return tag + _varint(len(body)) + body


def encode_pub(envelope: Envelope, payload: bytes) -> bytes:
    """A PUB of an envelope without payload and the field from `payload_field`.

    The field is put in as it is, so that what was signed is what is sent.
    """
    return bytes((PUB,)) + envelope.SerializeToString(deterministic=True) + payload


def encode_sub(subscribe: Subscribe) -> bytes:
    """A SUB frame."""
    return bytes((SUB,)) + subscribe.SerializeToString()


def encode_unsub(room: str, request_id: int) -> bytes:
    """An UNSUB frame."""
    return bytes((UNSUB,)) + Unsubscribe(room_id=room, request_id=request_id).SerializeToString()


def encode_refresh(token: str, request_id: int) -> bytes:
    """A REFRESH frame."""
    return bytes((REFRESH,)) + Refresh(token=token, request_id=request_id).SerializeToString()


def encode_ping(body: bytes = b"") -> bytes:
    """A PING frame; `body` of at most 125 bytes."""
    return bytes((PING,)) + body


def encode_pong(body: bytes) -> bytes:
    """A PONG frame with the body of the PING."""
    return bytes((PONG,)) + body


def decode_server_frame(data: bytes) -> ServerFrame:
    """What one binary message of a Shield says; MSG and BATCH as a list of envelopes.

    Raises `MalformedFrame` for bytes that are no such frame.
    """
    if not data:
        raise error_of("malformed-frame", "from the server: an empty frame")
    opcode, body = data[0], data[1:]
    try:
        if opcode == MSG:
            return [Envelope.FromString(body)]
        if opcode == BATCH:
            return _batch(body)
        if opcode == ACK:
            return Ack.FromString(body)
        if opcode == WELCOME:
            return Welcome.FromString(body)
    except DecodeError as error:
        raise error_of("malformed-frame", f"from the server: {error}") from None
    if opcode == PING:
        return Ping(body)
    if opcode == PONG:
        return Pong(body)
    if opcode == ERR and len(body) >= 2:
        message = body[2:].decode("utf-8", "replace")
        return error_from_wire(int.from_bytes(body[:2], "big"), "", message)
    raise error_of("malformed-frame", f"from the server: opcode {opcode:#04x}")


def _batch(body: bytes) -> list[Envelope]:
    envelopes: list[Envelope] = []
    at = 0
    while at < len(body):
        length, at = _read_varint(body, at)
        if length > len(body) - at:
            raise error_of("malformed-frame", "from the server: a truncated BATCH")
        envelopes.append(Envelope.FromString(body[at : at + length]))
        at += length
    return envelopes


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 35:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise error_of("malformed-frame", "from the server: a BATCH with a bad length")
