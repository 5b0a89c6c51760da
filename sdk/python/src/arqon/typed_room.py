"""A room's events of one type as values of one Python type: `Room.typed`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypedDict, TypeVar

from arqon.codec import Codec
from arqon.errors import ArqonError, error_of
from arqon.explanation import Published
from arqon.listener import Listener
from arqon.message import Message

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from arqon.room import Room

T = TypeVar("T")
OnInvalid: TypeAlias = Literal["report", "raise"]


def _essence(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


@dataclass(frozen=True)
class TypedMessage(Generic[T]):
    """One item of a typed room."""

    message: Message
    value: T | None
    """None for a signal (`message.signal`), for example a gap."""


class TypedPublishOptions(TypedDict, total=False):
    """The options of `TypedRoom.publish`: the codec has content type and schema."""

    message_id: str | None
    ack: bool
    timeout_ms: int | None
    headers: Mapping[str, str] | None
    trace_id: str | None
    traceparent: str | None


class TypedRoom(Generic[T]):
    """A typed room of `Room.typed`: like a room, but only events of that type, and signals."""

    def __init__(self, room: Room, type: str, codec: Codec[T], on_invalid: OnInvalid) -> None:
        """Use `Room.typed`."""
        if on_invalid not in ("report", "raise"):
            raise ValueError(f"on_invalid is {on_invalid!r}; expected 'report' or 'raise'")
        self.room = room
        """The room itself: members, state, position."""
        self.type = type
        self._codec = codec
        self._on_invalid = on_invalid

    @property
    def id(self) -> str:
        """The room's id."""
        return self.room.id

    async def publish(self, value: T, **options: Unpack[TypedPublishOptions]) -> Published:
        """As `Room.publish`. Raises `SchemaViolation`, and sends nothing, for an invalid value."""
        codec = self._codec
        try:
            data = codec.encode(value)
        except Exception as error:
            raise self._invalid("not sent", error) from error
        kind, schema_id = codec.content_type, codec.schema_id
        return await self.room.publish(
            self.type, data, content_type=kind, schema_id=schema_id, **options
        )

    def listen(
        self, handler: Callable[[TypedMessage[T]], Awaitable[object] | object]
    ) -> Listener[TypedMessage[T]]:
        """As `Room.listen`."""
        return Listener(self, self.room.bus, handler)

    async def __aenter__(self) -> TypedRoom[T]:
        """Subscribes, as the room's `async with`."""
        await self.room.__aenter__()
        return self

    async def __aexit__(self, *raised: object) -> None:
        """Ends the subscription."""
        await self.room.__aexit__(*raised)

    def __aiter__(self) -> AsyncIterator[TypedMessage[T]]:
        """The messages from now on."""
        return self

    async def __anext__(self) -> TypedMessage[T]:
        """The next event of this type, or signal.

        Invalid data, or of another content type or schema, is skipped and reported to `on_error` as
        `SchemaViolation`. With `on_invalid="raise"` it is raised here; the subscription stays open,
        another loop continues.
        """
        while True:
            message = await self.room.__anext__()
            if message.signal is not None:
                return TypedMessage(message, None)
            if message.type != self.type:
                continue
            try:
                return TypedMessage(message, self._decode(message))
            except Exception as error:
                invalid = self._invalid(f"from {message.sender}", error)
                invalid.__cause__ = error
            if self._on_invalid == "raise":
                raise invalid
            self.room.bus.call(self.room.bus.options.on_error, invalid)

    def _decode(self, message: Message) -> T:
        """Raises for another content type or schema: Protobuf parses nearly any bytes."""
        codec, kind, schema_id = self._codec, message.content_type, message.schema_id
        if kind and _essence(kind) != _essence(codec.content_type):
            raise TypeError(f"the content type is {kind}; expected {codec.content_type}")
        if schema_id and codec.schema_id and schema_id != codec.schema_id:
            raise TypeError(f"the schema is {schema_id}; expected {codec.schema_id}")
        return codec.decode(message.raw)

    def _invalid(self, what: str, error: Exception) -> ArqonError:
        return error_of("schema-violation", f"{self.type!r} in {self.id}, {what}: {error}")
