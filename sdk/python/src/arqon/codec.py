"""Codecs of typed rooms: they convert Python values to the bytes of a message and back.

`json_codec` takes any validator, `protobuf_codec` a generated message class.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, Protocol, TypeVar, cast

from google.protobuf.message import Message as ProtobufMessage

from arqon.message import JSON_TYPE, json_of

T = TypeVar("T")
_Proto = TypeVar("_Proto", bound=ProtobufMessage)
PROTOBUF_TYPE: Final = "application/protobuf"


class Codec(Protocol[T]):
    """The codec of `Room.typed`. Any exception of a method means an invalid value."""

    @property
    def content_type(self) -> str:
        """The content type of encoded values."""
        ...

    @property
    def schema_id(self) -> str:
        """The schema that the bus validates against; empty: none."""
        ...

    def encode(self, value: T, /) -> bytes:
        """The data of a message."""
        ...

    def decode(self, data: bytes, /) -> T:
        """Decodes the data of a message."""
        ...


class JsonCodec(Generic[T]):
    """A JSON codec: `validate` converts JSON to a value, or raises; `dump` converts it back.

    `validate` gets the parsed JSON: `Model.model_validate` of pydantic, any function, or a
    dataclass, which gets the members of the JSON object as keyword arguments (and checks no more
    than its `__post_init__` does). Without `dump` a dataclass becomes a dict, a value with
    pydantic's `model_dump` uses that, and anything else must be JSON already.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Point:
    ...     lat: float
    ...     lon: float
    >>> codec = json_codec(Point)
    >>> codec.encode(Point(52.5, 13.4))
    b'{"lat":52.5,"lon":13.4}'
    >>> codec.decode(b'{"lat":1,"lon":2}')
    Point(lat=1, lon=2)
    """

    content_type = JSON_TYPE

    def __init__(
        self,
        validate: type[T] | Callable[[Any], T],
        dump: Callable[[T], Any] | None = None,
        *,
        schema_id: str = "",
    ) -> None:
        """`schema_id`: as in `Codec`."""
        make = cast("Callable[..., T]", validate)
        is_members = isinstance(validate, type) and dataclasses.is_dataclass(validate)
        self._validate = _members_of(make) if is_members else make
        self._dump = _plain if dump is None else dump
        self.schema_id = schema_id

    def encode(self, value: T, /) -> bytes:
        """Dumps the value to JSON, and validates the JSON as a reader will."""
        plain = self._dump(value)
        text = json.dumps(plain, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        data = text.encode()
        self.decode(data)
        return data

    def decode(self, data: bytes, /) -> T:
        """Reads the JSON and validates it."""
        return self._validate(json_of(data))


json_codec = JsonCodec


def _members_of(kind: Callable[..., T]) -> Callable[[Any], T]:
    def validate(members: Any) -> T:
        if not isinstance(members, Mapping):
            raise TypeError(f"expected a JSON object, not {type(members).__name__}")
        return kind(**cast("Mapping[str, Any]", members))

    return validate


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    model_dump = getattr(value, "model_dump", None)
    return value if model_dump is None else model_dump(mode="json")


class ProtobufCodec(Generic[_Proto]):
    """A codec for the messages of a generated Protobuf class: `protobuf_codec`.

    >>> from google.protobuf.wrappers_pb2 import StringValue
    >>> codec = protobuf_codec(StringValue)
    >>> codec.decode(codec.encode(StringValue(value="hi"))).value
    'hi'
    """

    content_type = PROTOBUF_TYPE

    def __init__(self, message_class: type[_Proto], *, schema_id: str = "") -> None:
        """`schema_id`: as in `Codec`."""
        self._class = message_class
        self.schema_id = schema_id

    def encode(self, value: _Proto, /) -> bytes:
        """Serializes a message of that class."""
        if not isinstance(value, self._class):
            raise TypeError(f"expected {self._class.__name__}, not {type(value).__name__}")
        return value.SerializeToString()

    def decode(self, data: bytes, /) -> _Proto:
        """Parses a message; unknown fields are kept."""
        message = self._class()
        message.ParseFromString(data)
        return message


protobuf_codec = ProtobufCodec
