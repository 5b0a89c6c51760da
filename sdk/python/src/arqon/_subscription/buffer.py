"""The buffer of one loop over a room: a FIFO, bounded in messages and bytes.

The loop's policy decides about a message that does not fit. `"error"`: after the buffered messages
the loop gets `SlowConsumer`. `"drop-oldest"` and `"drop-newest"`: one GAP replaces the dropped
messages.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from arqon._tasks import fail, resolve
from arqon.errors import ArqonError, error_of
from arqon.message import Message, gap_message

Overflow: TypeAlias = Literal["error", "drop-oldest", "drop-newest"]
OVERFLOWS: Final = ("error", "drop-oldest", "drop-newest")


def ended() -> ArqonError:
    return error_of("connection-closed", "the subscription has ended")


class MessageBuffer:
    """Filled by the connection, read by one loop. `end` may be called more than once."""

    def __init__(
        self,
        room: str,
        size_max: int,
        bytes_max: int,
        overflow: Overflow,
        on_overflow: Callable[[], None],
    ) -> None:
        """`on_overflow` is called once when policy `"error"` has ended it."""
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when SUB and list of members are complete; the error of an end before that."""
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the input has ended, by the error if there is one."""
        self._room = room
        self._size_max = size_max
        self._bytes_max = bytes_max
        self._overflow = overflow
        self._on_overflow = on_overflow
        self._items: deque[Message] = deque()
        self._bytes = 0
        self._dropped = 0
        self._readable = asyncio.Event()
        self._space = asyncio.Event()
        self._full = False
        """Whether a task waits for `_space`."""

    def blocked(self, data_bytes: int) -> bool:
        """Whether a message of this size does not fit, and the policy lets the connection wait."""
        return not self._fits(data_bytes) and self._overflow == "error" and not self.over.done()

    async def space(self, data_bytes: int) -> None:
        """Returns when a message of this size fits, or the buffer has ended."""
        await self._until(lambda: not self.blocked(data_bytes))

    async def half_empty(self) -> bool:
        """Returns when less than half of the space is used, or it ended; True: it had to wait."""
        return await self._until(
            lambda: (
                self.over.done()
                or (len(self._items) * 2 < self._size_max and self._bytes * 2 < self._bytes_max)
            )
        )

    async def _until(self, holds: Callable[[], bool]) -> bool:
        waited = False
        while not holds():
            waited = self._full = True
            self._space.clear()
            await self._space.wait()
        return waited

    def push(self, message: Message) -> None:
        """Adds a message, or applies the policy."""
        if self.over.done():
            return
        data_bytes = len(message.raw)
        if not self._fits(data_bytes):
            if self._overflow == "error":
                self.end(error_of("slow-consumer"))
                self._on_overflow()
                return
            if self._overflow == "drop-newest":
                self._dropped += 1
                return
            # The GAP that replaces dropped messages needs room, too.
            while self._items and not self._fits(data_bytes, gap=1):
                self._bytes -= len(self._items.popleft().raw)
                self._dropped += 1
        if not self._items:
            self._readable.set()
        if self._dropped and self._overflow == "drop-newest":
            self._items.append(self._gap())
        self._items.append(message)
        self._bytes += data_bytes

    def end(self, error: ArqonError | None) -> None:
        """Ends the input: the loop gets the buffered messages, then ends, or raises `error`."""
        if self.over.done():
            return
        if error is None:
            resolve(self.over, None)
        else:
            fail(self.over, error)
        fail(self.ready, error.again() if error else ended())
        self._readable.set()
        self._space.set()

    async def get(self) -> Message:
        """The next message. Raises StopAsyncIteration at the end, or the error that ended it."""
        while True:
            if self._dropped and (self._overflow == "drop-oldest" or not self._items):
                return self._gap()
            if self._items:
                message = self._items.popleft()
                self._bytes -= len(message.raw)
                if self._full:
                    self._full = False
                    self._space.set()
                return message
            if self.over.done():
                error = self.over.exception()
                raise error.again() if isinstance(error, ArqonError) else StopAsyncIteration
            self._readable.clear()
            await self._readable.wait()

    def _fits(self, data_bytes: int, gap: int = 0) -> bool:
        if self._dropped:
            gap = 1
        if len(self._items) + gap >= self._size_max:
            return False
        # A single message is accepted whatever its size.
        return self._bytes + data_bytes <= self._bytes_max or not self._items

    def _gap(self) -> Message:
        reason, self._dropped = f"{self._dropped} messages dropped here", 0
        return gap_message(self._room, reason)
