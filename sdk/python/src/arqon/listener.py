"""A handler function in place of a loop, `Room.listen`, and typed events, `Room.typed`."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypedDict, TypeVar, cast

from arqon.codec import Codec
from arqon.errors import ArqonError, error_of
from arqon.explanation import Published
from arqon.message import Message, essence_of
from arqon.options import nothing
from arqon.proof import LogError, ProofError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from arqon._driver import Driver
    from arqon.room import Room

T = TypeVar("T")
OnInvalid: TypeAlias = Literal["report", "raise"]


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
        await self.room.__aenter__()
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.room.__aexit__(*raised)

    def __aiter__(self) -> AsyncIterator[TypedMessage[T]]:
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
        if kind and essence_of(kind) != essence_of(codec.content_type):
            raise TypeError(f"the content type is {kind}; expected {codec.content_type}")
        if schema_id and codec.schema_id and schema_id != codec.schema_id:
            raise TypeError(f"the schema is {schema_id}; expected {codec.schema_id}")
        return codec.decode(message.raw)

    def _invalid(self, what: str, error: Exception) -> ArqonError:
        return error_of("schema-violation", f"{self.type!r} in {self.id}, {what}: {error}")


class Listener(Generic[T]):
    """Calls the handler for each message: `async with room.listen(handler):`, or `await` it and
    `close()` it. Subscribes when it is entered, and raises the refusal there.
    """

    def __init__(
        self,
        room: Room | TypedRoom[Any],
        bus: Driver,
        handler: Callable[[T], Awaitable[object] | object],
    ) -> None:
        self.room = room
        """Its room."""
        self._bus = bus
        self._handler = handler
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._ended = asyncio.Event()
        self._error: Exception | None = None

    async def close(self) -> None:
        """Ends the subscription; buffered messages are dropped. Idempotent.

        A running handler is cancelled, and has ended when this returns. Inside the handler it
        returns at once, and no other message follows.
        """
        self._closing = True
        await self.room.__aexit__(None, None, None)
        task = self._task
        if task is None or task is asyncio.current_task():
            return
        task.cancel()
        await asyncio.wait({task})

    async def wait_ended(self) -> None:
        """Returns at the end; raises the error that ended it, which `on_error` receives as well."""
        await self._ended.wait()
        if isinstance(self._error, ArqonError):
            raise self._error.again()
        if self._error is not None:
            raise self._error

    def __await__(self) -> Generator[Any, None, Listener[T]]:
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Listener[T]:
        if self._task is not None:
            raise RuntimeError(f"this listener of room {self.room.id} has begun already")
        await self.room.__aenter__()
        self._task = self._bus.spawn(self._run())
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.close()

    async def _run(self) -> None:
        try:
            while not self._closing:
                await self._handle(cast("T", await self.room.__anext__()))
        except StopAsyncIteration:
            # The subscription has ended.
            pass
        except ArqonError as error:
            self._error = error
            self._bus.call(self._bus.options.on_error, error)
        except (ProofError, LogError) as error:
            self._error = error
            self._failed(error)
        finally:
            self._ended.set()
            await self.room.__aexit__(None, None, None)

    async def _handle(self, item: T) -> None:
        """Calls the handler. Its exception is reported, and the next message follows."""
        try:
            answer = self._handler(item)
            if inspect.isawaitable(answer):
                await answer
        except Exception as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        """`on_error` receives it, otherwise asyncio's handler."""
        failed = error_of("handler-failed", self.room.id)
        failed.__cause__ = error
        on_error = self._bus.options.on_error
        if on_error is nothing:
            context = {"message": failed.message, "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
        else:
            self._bus.call(on_error, failed)
