"""Checks of Protobuf's wire format for `frames.py` that its runtime does not make.

The runtime skips groups, truncates large numbers, and uses the last one of a repeated field: two
readers could decode one frame differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from arqon.errors import ArqonError, error_of

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
    kept = bytearray()
    for found, wire, value in _fields(body, VARINT_BYTES_MAX):
        if found < number:
            kept += varint(found << 3 | wire)
            kept += _written(wire, value)
    return bytes(kept)


def split_off(body: bytes, number: int) -> tuple[list[bytes], bytes]:
    """The messages in the repeated field with that number, and all other fields."""
    messages: list[bytes] = []
    rest = bytearray()
    for found, wire, value in _fields(body):
        if found == number and not isinstance(value, int):
            messages.append(value)
        else:
            rest += varint(found << 3 | wire)
            rest += _written(wire, value)
    return messages, bytes(rest)


def _written(wire: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(value)
    return varint(len(value)) + value if wire == _BYTES else value


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
