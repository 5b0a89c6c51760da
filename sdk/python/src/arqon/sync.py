"""A small synchronous API for scripts: a thread with its own event loop.

Everything else (live presence, locks that renew themselves, typed rooms) is for asyncio:
`arqon.connect`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from arqon._tasks import cancel
from arqon.connection import connect
from arqon.errors import ArqonError
from arqon.explanation import Explanation, Published
from arqon.message import Message
from arqon.options import OptionsDict
from arqon.presence import Member
from arqon.room import History, Room
from arqon.room_state import RoomState

if TYPE_CHECKING:
    from typing_extensions import Unpack

# A forked process does not have the thread, so an answer would never come.
_FORKED = "connect_sync was called before this process was forked; call it here"
_P = ParamSpec("_P")
_Result = TypeVar("_Result")


def connect_sync(url: str, **options: Unpack[OptionsDict]) -> SyncConnection:
    """As `arqon.connect`, but blocking: opens the connection, or raises the error."""
    return SyncConnection(url, options)


class SyncSubscription:
    """Iterates over the messages of a room; a context manager that ends the subscription."""

    def __init__(self, bus: SyncConnection, room: Room) -> None:
        """Use `SyncConnection.subscribe`."""
        self._bus = bus
        self._room = room

    def __enter__(self) -> SyncSubscription:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        """Blocks until the next message. Raises what `async for` over a room raises."""
        message = self.next(None)
        if message is None:
            raise StopIteration
        return message

    def next(self, timeout_seconds: float | None) -> Message | None:
        """The next message; None at the end. Raises TimeoutError if none arrives in that time."""
        return self._bus._call(_next_or_none(self._room, timeout_seconds))

    def close(self) -> None:
        """Ends the subscription."""
        self._bus._call(self._room.__aexit__(None, None, None))


async def _next_or_none(room: Room, timeout_seconds: float | None) -> Message | None:
    try:
        return await asyncio.wait_for(room.__anext__(), timeout_seconds)
    except StopAsyncIteration:
        return None
    except asyncio.TimeoutError:
        raise TimeoutError(f"no message within {timeout_seconds} s") from None


def _blocking(
    method: Callable[Concatenate[RoomState, _P], Coroutine[Any, Any, _Result]],
) -> Callable[Concatenate[SyncState, _P], _Result]:
    @wraps(method)
    def blocking(self: SyncState, /, *args: _P.args, **options: _P.kwargs) -> _Result:
        return self._bus._call(method(self._state, *args, **options))

    return blocking


class SyncState:
    """A room's state, as `SyncConnection.state`: the methods of `RoomState`, but blocking."""

    def __init__(self, bus: SyncConnection, state: RoomState) -> None:
        self._bus = bus
        self._state = state

    get = _blocking(RoomState.get)
    get_all = _blocking(RoomState.get_all)
    set = _blocking(RoomState.set)
    delete = _blocking(RoomState.delete)
    acquire_lock = _blocking(RoomState.acquire_lock)
    unlock = _blocking(RoomState.unlock)


class SyncConnection:
    """The connection of `connect_sync`. Methods may be called from any thread except its own.

    A process forked later does not have that thread: there every method raises RuntimeError.
    """

    def __init__(self, url: str, options: OptionsDict) -> None:
        self._bus = connect(url, **options)
        self._process_id = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="arqon", daemon=True)
        self._thread.start()
        self._closed = False
        self._submitting = threading.Lock()
        self._closing = threading.Lock()
        try:
            self._call(self._bus.__aenter__())
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> SyncConnection:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def publish(self, room: str, type: str, data: Any = b"", **options: Any) -> Published:
        """Publishes; blocks until the ACK. The options and errors are those of `Room.publish`."""
        return self._call(self._bus.room(room).publish(type, data, **options))

    def explain(self, what: Message | Published | ArqonError, **options: Any) -> Explanation:
        """As `Connection.explain`."""
        return self._bus.explain(what, **options)

    def command(self, room: str, name: str, data: Any = None, **options: Any) -> Any:
        """Sends a command; blocks until its answer, which it returns."""
        return self._call(self._bus.room(room).command(name, data, **options))

    def subscribe(self, room: str, **options: Any) -> SyncSubscription:
        """Subscribes; blocks until the acknowledgement. Options: those of `Connection.room`."""
        subscription = self._bus.room(room, **options)
        self._call(subscription.__aenter__())
        return SyncSubscription(self, subscription)

    def state(self, room: str) -> SyncState:
        """The state of a room."""
        return SyncState(self, self._bus.room(room).state)

    def history(self, room: str, **options: Any) -> History:
        """A page of a durable room's history. The options are those of `Room.history`."""
        return self._call(self._bus.room(room).history(**options))

    def list_members(self, room: str) -> list[Member]:
        """The present members of the room."""
        return self._call(_members(self._bus.room(room)))

    def close(self) -> None:
        """Ends the connection and its thread. Idempotent; calls of other threads are refused."""
        if self._closed:
            return
        self._require_outside()
        with self._closing:
            if self._closed:
                return
            try:
                self._call(self._bus.close())
            finally:
                self._stop()

    def _require_outside(self) -> None:
        if os.getpid() != self._process_id:
            raise RuntimeError(_FORKED)
        if threading.get_ident() == self._thread.ident:
            raise RuntimeError("called from a callback of the connection itself, which it blocks")

    def _call(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        try:
            self._require_outside()
            # The stop cancels what was submitted before it; nothing would answer a later one.
            with self._submitting:
                if self._closed:
                    raise RuntimeError("the connection is closed")
                future = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:
            work.close()
            raise
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise RuntimeError("the connection is closed") from None
        except BaseException:
            future.cancel()
            raise

    def _stop(self) -> None:
        with self._submitting:
            self._closed = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(cancel(*asyncio.all_tasks(self._loop)))
        self._loop.close()


async def _members(room: Room) -> list[Member]:
    return [member async for member in room.list_members()]
