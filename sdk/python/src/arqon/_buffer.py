"""What waits for one loop over a room: a bounded FIFO with two ends and a stated overflow policy.

Policy `"error"`: what is over the bound ends the subscription; the loop gets what was waiting, then
`SlowConsumer`. Policy `"drop-oldest"`: the oldest are dropped and one GAP stands in their place.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Literal, TypeAlias

from arqon.errors import ArqonError, error_of
from arqon.message import Message, gap_message

Overflow: TypeAlias = Literal["error", "drop-oldest"]


class MessageBuffer:
    """Filled by the connection, read by one loop. `end` may be called more than once."""

    def __init__(
        self, room: str, size_max: int, overflow: Overflow, on_overflow: Callable[[], None]
    ) -> None:
        """`on_overflow` hears once that policy `"error"` has ended it."""
        self._room = room
        self._size_max = size_max
        self._overflow = overflow
        self._on_overflow = on_overflow
        self._items: deque[Message] = deque()
        self._dropped = 0
        self._ended = False
        self._error: ArqonError | None = None
        self._readable = asyncio.Event()
        self._space = asyncio.Event()
        self._space.set()
        self._over = asyncio.Event()

    def __len__(self) -> int:
        """Messages that wait."""
        return len(self._items)

    @property
    def blocking(self) -> bool:
        """It is full, and its policy would rather have the connection wait for a moment."""
        full = len(self._items) >= self._size_max
        return full and self._overflow == "error" and not self._ended

    async def space(self) -> None:
        """Returns when there is space for another message, or it has ended."""
        while self.blocking:
            self._space.clear()
            await self._space.wait()

    def push(self, message: Message) -> None:
        """Adds a message, or does what the policy says."""
        if self._ended:
            return
        # The GAP that stands for what was dropped takes a place, too.
        if len(self._items) + (self._dropped > 0) >= self._size_max:
            if self._overflow == "error":
                self.end(error_of("slow-consumer"))
                self._on_overflow()
                return
            while len(self._items) + 2 > self._size_max:
                self._items.popleft()
                self._dropped += 1
        self._items.append(message)
        self._readable.set()

    def end(self, error: ArqonError | None) -> None:
        """No more come: the loop gets what waits, then ends, or raises `error`."""
        if self._ended:
            return
        self._ended, self._error = True, error
        self._over.set()
        self._readable.set()
        self._space.set()

    async def wait_ended(self) -> None:
        """Returns when no more come."""
        await self._over.wait()

    async def get(self) -> Message:
        """The next message. Raises StopAsyncIteration at the end, or the error that ended it."""
        while True:
            if self._dropped:
                reason = f"{self._dropped} messages dropped here"
                self._dropped = 0
                return gap_message(self._room, reason, int(time.time() * 1_000))
            if self._items:
                message = self._items.popleft()
                self._space.set()
                return message
            if self._ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._readable.clear()
            await self._readable.wait()
