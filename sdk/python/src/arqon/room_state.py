"""A room's state: keys with JSON values and one version, and its lock (docs/protocol-rooms.md)."""

from __future__ import annotations

import asyncio
from asyncio import sleep
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypedDict
from uuid import uuid4

from arqon._clock import Duration, seconds_of
from arqon._tasks import cancel
from arqon._wire.frames import fields
from arqon.errors import ArqonError, error_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from arqon._driver import Driver
    from arqon.room import Room


@dataclass(frozen=True)
class StateVersion:
    """A position in a room's state. Versions of different epochs are not comparable."""

    version: int
    """One more with every change; 0 before the first."""
    epoch: str


@dataclass(frozen=True)
class RoomEvent(StateVersion):
    """One change of a room: also the JSON of a `ROOM_UPDATE` message."""

    op: str
    """`set`, `delete`, `lock`, `unlock`, `kick`, `ban` or `unban`.

    In a subscription also `state`, which the SDK inserts if missed changes are no longer available:
    its members `state` and `lock` are the whole room at this version.
    """
    by: str
    """User id of the author; empty for changes without one, such as the end of a lease."""
    at_ms: int
    """Unix ms by the Brain's clock."""
    told: dict[str, Any]
    """All received members, such as `key` and `value` of a set unless too long (`truncated`).

    `first` is True if the change created the room: earlier state was deleted.
    """


@dataclass(frozen=True)
class StateRead(StateVersion):
    """The common part of read results."""

    events: list[RoomEvent] | None
    """With `events_after`: all changes after that version; None: not requested, or not stored."""


@dataclass(frozen=True)
class StateValue(StateRead):
    """One key."""

    key: str
    value: Any
    """The value; None if the key is missing."""
    exists: bool


@dataclass(frozen=True)
class StateSnapshot(StateRead):
    """All keys."""

    state: dict[str, Any]
    lock: dict[str, Any] | None
    """`holder`, `connection_id`, `fence`, `until_ms` of the present lock."""


@dataclass(frozen=True)
class Lease(StateVersion):
    """A lock without automatic renewal: pass `fence` to everything that it guards."""

    fence: int
    until_ms: int
    """Unix ms by the Brain's clock."""


class ReadOptions(TypedDict, total=False):
    """The options of a read."""

    after_version: int
    """The answer is no older than this version."""
    epoch: str
    timeout_ms: int | None


class WriteOptions(TypedDict, total=False):
    """The options of a write."""

    expect_version: int
    """Writes only if the room has not changed since this version; 0: in any case."""
    epoch: str
    fence: int
    command_id: str | None
    timeout_ms: int | None


class RoomState:
    """The state of one room, as `room.state`. Each method raises what `Room.command` raises.

    Writes are retried over reconnects and applied once: each has a `command_id`, generated or
    yours.
    """

    def __init__(self, room: Room) -> None:
        self._room = room

    async def get(
        self, key: str, *, events_after: int | None = None, **options: Unpack[ReadOptions]
    ) -> StateValue:
        """One key; with `events_after` also the changes after that version."""
        found = await self._read({"key": key, "events_after": events_after}, **options)
        fields(found, exists=bool)
        value, exists = found.get("value"), found["exists"]
        return StateValue(found["version"], found["epoch"], _events_of(found), key, value, exists)

    async def get_all(
        self, *, events_after: int | None = None, **options: Unpack[ReadOptions]
    ) -> StateSnapshot:
        """All keys; `events_after` as in `get`: fills a GAP."""
        found = await self._read({"events_after": events_after}, **options)
        fields(found, state=dict)
        lock = fields(found["lock"], fence=int) if "lock" in found else None
        version, epoch = found["version"], found["epoch"]
        return StateSnapshot(version, epoch, _events_of(found), found["state"], lock)

    async def set(self, key: str, value: Any, **options: Unpack[WriteOptions]) -> StateVersion:
        """Writes one key. Raises `VersionConflict`, `Locked`, `FenceMismatch`."""
        return await self._version("room.set", {"key": key, "value": value}, **options)

    async def delete(self, key: str, **options: Unpack[WriteOptions]) -> StateVersion:
        """Removes one key, as `set` writes it."""
        return await self._version("room.delete", {"key": key}, **options)

    def lock(self, *, ttl_ms: int = 30_000, wait: Duration = 0) -> Lock:
        """`async with room.state.lock() as lock:` holds the lock while the block runs.

        The lock is renewed after each third of `ttl_ms` (at most 600,000), with jitter. Raises
        `Locked` while another client holds it; `retry_after_ms` is the rest of that lease. If it is
        cancelled while waiting, a lock granted late is released.

        With `wait` (seconds, a timedelta, or `"10s"`) it polls for this long, with pauses of up to
        a second, before it raises `Locked`. The order of several waiting clients is random.
        """
        return Lock(self, self._room.bus, ttl_ms, seconds_of("wait", wait))

    async def acquire_lock(
        self, *, ttl_ms: int = 30_000, fence: int = 0, timeout_ms: int | None = None
    ) -> Lease:
        """Locks the room for that time, or, with the fence of a valid lease, renews it.

        There is no automatic renewal. Raises `Locked` while another client holds the lock.
        """
        found = await self._change(
            "room.lock", {"ttl_ms": ttl_ms}, fence=fence, timeout_ms=timeout_ms
        )
        fields(found, fence=int, until_ms=int)
        return Lease(found["version"], found["epoch"], found["fence"], found["until_ms"])

    async def unlock(self, fence: int, *, timeout_ms: int | None = None) -> StateVersion:
        """Releases the lock with this fence. Raises `FenceMismatch` if it has already ended."""
        return await self._version("room.unlock", {}, fence=fence, timeout_ms=timeout_ms)

    async def _read(self, asked: dict[str, Any], **options: Unpack[ReadOptions]) -> dict[str, Any]:
        data = {name: value for name, value in asked.items() if value is not None}
        answer = await self._room.command("room.get", data, **options)
        return fields(answer, version=int, epoch=str)

    async def _change(
        self, name: str, data: Any, **options: Unpack[WriteOptions]
    ) -> dict[str, Any]:
        if options.get("command_id") is None:
            options["command_id"] = str(uuid4())
        answer = await self._room.command(name, data, **options)
        return fields(answer, version=int, epoch=str)

    async def _version(self, name: str, data: Any, **options: Unpack[WriteOptions]) -> StateVersion:
        found = await self._change(name, data, **options)
        return StateVersion(found["version"], found["epoch"])


def _events_of(found: dict[str, Any]) -> list[RoomEvent] | None:
    if "events" not in found:
        return None
    fields(found, events=list)
    parsed = [fields(e, version=int, epoch=str, op=str, by=str, at_ms=int) for e in found["events"]]
    return [RoomEvent(e["version"], e["epoch"], e["op"], e["by"], e["at_ms"], e) for e in parsed]


# The first and the longest pause between polls for another holder's lock; pauses double.
_ASK_SECONDS: Final = 0.05
_ASK_SECONDS_MAX: Final = 1.0


class Lock:
    """A lease on a room with automatic renewal: pass `fence` to everything that it guards.

    `async with room.state.lock() as lock:` locks, renews while the block runs, and unlocks. The
    driver knows it from before its grant until its release.
    """

    def __init__(self, state: RoomState, bus: Driver, ttl_ms: int, wait_seconds: float) -> None:
        self.fence = 0
        self.until_ms = 0
        """When the lease ends, Unix ms by the Brain's clock; each renewal moves it."""
        self.lost = asyncio.Event()
        """Set when a renewal was refused or the lease has expired: stop the guarded work."""
        self.error: ArqonError | None = None
        """Why it was lost, if the bus reported it."""
        self._state = state
        self._bus = bus
        self._ttl_ms = ttl_ms
        self._wait_seconds = wait_seconds
        self._asking: asyncio.Task[int] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._ends = 0.0
        """When the lease ends, by the clock of the event loop, in seconds; 0: not granted yet."""

    async def __aenter__(self) -> Lock:
        self.lost, self.error, self._ends = asyncio.Event(), None, 0.0
        # Registered before the grant: a lock granted during a move must move, too.
        self._bus.held_locks.add(self)
        try:
            await self._wait()
        except BaseException:
            self._bus.held_locks.discard(self)
            raise
        self._keeping = self._bus.spawn(self._keep())
        # The end of the connection cancels it.
        self._keeping.add_done_callback(lambda _: self.lost.set() if self._bus.over else None)
        return self

    async def _wait(self) -> None:
        """Returns once it is granted; waits while another client holds it."""
        loop = asyncio.get_running_loop()
        over, pause_seconds = loop.time() + self._wait_seconds, _ASK_SECONDS
        while True:
            try:
                return await self._granted()
            except ArqonError as error:
                left_seconds = over - loop.time()
                if error.reason != "locked" or left_seconds <= 0:
                    raise
                lease_seconds = error.retry_after_ms / 1_000 or left_seconds
                jitter = 0.5 + 0.5 * self._bus.options.random()
            await sleep(min(left_seconds, lease_seconds, pause_seconds * jitter))
            pause_seconds = min(2 * pause_seconds, _ASK_SECONDS_MAX)

    async def _granted(self) -> None:
        """Requests it once; if the caller was cancelled, a granted lock is released at once."""
        asking = self._asking = self._bus.spawn(self._ask())

        def give_back(done: asyncio.Task[int]) -> None:
            if not done.cancelled() and done.exception() is None and not self._bus.over:
                self._bus.spawn(self._release(done.result()))

        try:
            await asyncio.wait({asking})
        except asyncio.CancelledError:
            asking.add_done_callback(give_back)
            raise
        if asking.cancelled():
            raise self._bus.closed_error()
        asking.result()

    async def __aexit__(self, *raised: object) -> None:
        """Unlocks, if it was not lost."""
        self._bus.held_locks.discard(self)
        assert self._keeping is not None
        await cancel(self._keeping)
        if not self.lost.is_set():
            await self._release(self.fence)

    async def move(self) -> None:
        """The client has moved to another connection: a renewal transfers the lock to it."""
        if self._asking is not None:
            await asyncio.wait({self._asking})
            await self._renew()

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while not self.lost.is_set() and (left_seconds := self._ends - loop.time()) > 0:
            third_seconds = self._ttl_ms / 3_000 * (1 - 0.1 * self._bus.options.random())
            await sleep(min(third_seconds, left_seconds))
            await self._renew()
        if self.error is None:
            self.error = error_of("connection-lost", "the lease has run out")
        self.lost.set()

    async def _ask(self) -> int:
        """Returns the fence."""
        lease = await self._state.acquire_lock(ttl_ms=self._ttl_ms)
        self.fence, self.until_ms = lease.fence, lease.until_ms
        self._extend(asyncio.get_running_loop().time())
        return lease.fence

    async def _renew(self) -> None:
        begun = asyncio.get_running_loop().time()
        if self.lost.is_set() or begun >= self._ends:
            return
        ttl_ms, left_ms = self._ttl_ms, max(1, int((self._ends - begun) * 1_000))
        try:
            lease = await self._state.acquire_lock(
                ttl_ms=ttl_ms, fence=self.fence, timeout_ms=left_ms
            )
        except ArqonError as error:
            if self in self._bus.held_locks:  # Otherwise it was released meanwhile.
                self.error = error
                if not error.retryable or error.reason == "locked":
                    self.lost.set()
        else:
            self.until_ms = max(self.until_ms, lease.until_ms)
            self.error = None
            self._extend(begun)

    def _extend(self, begun: float) -> None:
        self._ends = max(self._ends, begun + self._ttl_ms / 1_000)

    async def _release(self, fence: int) -> None:
        try:
            await self._state.unlock(fence)
        except ArqonError as error:
            # Already expired, or unreachable: the lease will expire.
            self.error = error
            self.lost.set()
