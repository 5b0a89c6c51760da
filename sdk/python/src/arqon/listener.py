"""A handler function instead of a loop: `Room.listen`. One message at a time, in order."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from arqon.errors import ArqonError, error_of
from arqon.proof import LogError, ProofError

if TYPE_CHECKING:
    from arqon._connection.driver import Driver
    from arqon.room import Room
    from arqon.typed_room import TypedRoom

T = TypeVar("T")


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
        """Use `Room.listen`."""
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
        """Subscribes."""
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Listener[T]:
        """Subscribes."""
        if self._task is not None:
            raise RuntimeError(f"this listener of room {self.room.id} has begun already")
        await self.room.__aenter__()
        self._task = self._bus.spawn(self._run())
        return self

    async def __aexit__(self, *raised: object) -> None:
        """Ends it."""
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
        failed = error_of("handler-failed", self.room.id)
        failed.__cause__ = error
        self._bus.failed(failed, error)
