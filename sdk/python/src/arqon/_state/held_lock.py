"""A lock that is renewed while a block runs: `room.state.lock()`."""

from __future__ import annotations

import asyncio
from asyncio import sleep
from typing import TYPE_CHECKING, Final

from arqon.errors import ArqonError, error_of

if TYPE_CHECKING:
    from arqon._connection.driver import Driver
    from arqon.room_state import RoomState


# The first and the longest pause between polls for another holder's lock; pauses double.
_ASK_SECONDS: Final = 0.05
_ASK_SECONDS_MAX: Final = 1.0


class Lock:
    """A lease on a room with automatic renewal: pass `fence` to everything that it guards."""

    def __init__(self, fence: int, until_ms: int) -> None:
        self.fence = fence
        self.until_ms = until_ms
        """When the lease ends, Unix ms by the Brain's clock; each renewal moves it."""
        self.lost = asyncio.Event()
        """Set when a renewal was refused or the lease has expired: stop the guarded work."""
        self.error: ArqonError | None = None
        """Why it was lost, if the bus reported it."""


class HeldLock:
    """A lock from before its grant until its release. The driver knows them all.

    It locks, renews while the block runs, and unlocks.
    """

    def __init__(self, state: RoomState, bus: Driver, ttl_ms: int, wait_seconds: float) -> None:
        self._state = state
        self._bus = bus
        self._ttl_ms = ttl_ms
        self._wait_seconds = wait_seconds
        self._asking: asyncio.Task[Lock] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._ends = 0.0
        """When the lease ends, by the clock of the event loop, in seconds."""

    async def __aenter__(self) -> Lock:
        # Registered before the grant: a lock granted during a move must move, too.
        self._bus.held_locks.add(self)
        try:
            return await self._begin()
        except BaseException:
            self._bus.held_locks.discard(self)
            raise

    async def _begin(self) -> Lock:
        """The lock; waits while another client holds it."""
        loop = asyncio.get_running_loop()
        over, pause_seconds = loop.time() + self._wait_seconds, _ASK_SECONDS
        while True:
            try:
                lock = await self._granted()
                break
            except ArqonError as error:
                left_seconds = over - loop.time()
                if error.reason != "locked" or left_seconds <= 0:
                    raise
                lease_seconds = error.retry_after_ms / 1_000 or left_seconds
                jitter = 0.5 + 0.5 * self._bus.options.random()
            await sleep(min(left_seconds, lease_seconds, pause_seconds * jitter))
            pause_seconds = min(2 * pause_seconds, _ASK_SECONDS_MAX)
        self._keeping = self._bus.spawn(self._keep(lock))
        # The end of the connection cancels it.
        self._keeping.add_done_callback(lambda _: lock.lost.set() if self._bus.over else None)
        return lock

    async def _granted(self) -> Lock:
        """Requests it once; if the caller was cancelled, a granted lock is released at once."""
        asking = self._asking = self._bus.spawn(self._ask())

        def give_back(done: asyncio.Task[Lock]) -> None:
            if not done.cancelled() and done.exception() is None and not self._bus.over:
                self._bus.spawn(self._release(done.result()))

        try:
            await asyncio.wait({asking})
        except asyncio.CancelledError:
            asking.add_done_callback(give_back)
            raise
        if asking.cancelled():
            raise self._bus.closed_error()
        return asking.result()

    async def __aexit__(self, *raised: object) -> None:
        """Unlocks, if it was not lost."""
        self._bus.held_locks.discard(self)
        assert self._asking is not None
        assert self._keeping is not None
        self._keeping.cancel()
        await asyncio.wait({self._keeping})
        lock = self._asking.result()
        if not lock.lost.is_set():
            await self._release(lock)

    async def move(self) -> None:
        """The client has moved to another connection: a renewal transfers the lock to it."""
        if self._asking is None:
            return
        await asyncio.wait({self._asking})
        if not self._asking.cancelled() and self._asking.exception() is None:
            await self._renew(self._asking.result())

    async def _keep(self, lock: Lock) -> None:
        loop = asyncio.get_running_loop()
        while not lock.lost.is_set() and (left_seconds := self._ends - loop.time()) > 0:
            third_seconds = self._ttl_ms / 3_000 * (1 - 0.1 * self._bus.options.random())
            await sleep(min(third_seconds, left_seconds))
            await self._renew(lock)
        if lock.error is None:
            lock.error = error_of("connection-lost", "the lease has run out")
        lock.lost.set()

    async def _ask(self) -> Lock:
        lease = await self._state.acquire_lock(ttl_ms=self._ttl_ms)
        self._extend(asyncio.get_running_loop().time())
        return Lock(lease.fence, lease.until_ms)

    async def _renew(self, lock: Lock) -> None:
        begun = asyncio.get_running_loop().time()
        if lock.lost.is_set() or begun >= self._ends:
            return
        ttl_ms, left_ms = self._ttl_ms, max(1, int((self._ends - begun) * 1_000))
        try:
            lease = await self._state.acquire_lock(
                ttl_ms=ttl_ms, fence=lock.fence, timeout_ms=left_ms
            )
        except ArqonError as error:
            if self in self._bus.held_locks:  # Otherwise it was released meanwhile.
                lock.error = error
                if not error.retryable or error.reason == "locked":
                    lock.lost.set()
        else:
            lock.until_ms = max(lock.until_ms, lease.until_ms)
            lock.error = None
            self._extend(begun)

    def _extend(self, begun: float) -> None:
        self._ends = max(self._ends, begun + self._ttl_ms / 1_000)

    async def _release(self, lock: Lock) -> None:
        try:
            await self._state.unlock(lock.fence)
        except ArqonError as error:
            # Already expired, or unreachable: the lease will expire.
            lock.error = error
            lock.lost.set()
