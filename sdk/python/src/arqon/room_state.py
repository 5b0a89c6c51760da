"""A room's state: keys with JSON values and one version, and the lock that guards it.

Commands of `docs/protocol.md`; how they travel is `room.py`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from arqon.errors import ArqonError

if TYPE_CHECKING:
    from arqon.room import Room


@dataclass(frozen=True)
class StateVersion:
    """Where a room's state stands. Versions of different epochs do not compare."""

    version: int
    """One more with every change; 0 before the first."""
    epoch: str


@dataclass(frozen=True)
class StateValue(StateVersion):
    """One key."""

    key: str
    value: Any
    """None when there is none."""
    exists: bool


@dataclass(frozen=True)
class StateSnapshot(StateVersion):
    """All keys."""

    state: dict[str, Any]
    lock: dict[str, Any] | None
    """`holder`, `connection_id`, `fence`, `until_ms` of the lock that holds now."""


class Lock:
    """A lease on a room that is renewed by itself: give `fence` to everything that it guards."""

    def __init__(self, fence: int, until_ms: int) -> None:
        """Use `room.state.lock`."""
        self.fence = fence
        self.until_ms = until_ms
        """By the Brain's clock, Unix ms; moves with each renewal."""
        self.lost = asyncio.Event()
        """Set when a renewal was refused or the lease has run out: stop what it guards."""


class RoomState:
    """The state of one room, as `room.state`. Each method raises what `Room.command` raises."""

    def __init__(self, room: Room) -> None:
        """Use `room.state`."""
        self._room = room

    async def get(self, key: str, *, after_version: int = 0, epoch: str = "") -> StateValue:
        """One key, no older than `after_version`."""
        answer = await self._room.command(
            "room.get", {"key": key}, after_version=after_version, epoch=epoch
        )
        return StateValue(
            answer["version"], answer["epoch"], key, answer["value"], answer["exists"]
        )

    async def get_all(self, *, after_version: int = 0, epoch: str = "") -> StateSnapshot:
        """All keys, no older than `after_version`."""
        answer = await self._room.command("room.get", after_version=after_version, epoch=epoch)
        return StateSnapshot(
            answer["version"], answer["epoch"], answer["state"], answer.get("lock")
        )

    async def set(
        self,
        key: str,
        value: Any,
        *,
        expect_version: int = 0,
        epoch: str = "",
        fence: int = 0,
    ) -> StateVersion:
        """Writes one key, with `expect_version` only if nobody else has changed the room since.

        Raises `VersionConflict`, `Locked`, `FenceMismatch`.
        """
        data = {"key": key, "value": value}
        return await self._change("room.set", data, expect_version, epoch, fence)

    async def delete(
        self, key: str, *, expect_version: int = 0, epoch: str = "", fence: int = 0
    ) -> StateVersion:
        """Removes one key."""
        return await self._change("room.delete", {"key": key}, expect_version, epoch, fence)

    @asynccontextmanager
    async def lock(self, *, ttl_ms: int = 30_000) -> AsyncIterator[Lock]:
        """`async with room.state.lock() as lock:` — locked while the block runs.

        Renewed after each third of `ttl_ms` (at most 600,000). Raises `Locked` while somebody else
        holds it; `retry_after_ms` is what is left of that lease.
        """
        command_id = str(uuid4())
        answer = await self._room.command("room.lock", {"ttl_ms": ttl_ms}, command_id=command_id)
        lock = Lock(answer["fence"], answer["until_ms"])
        renewing = asyncio.get_running_loop().create_task(self._renew(lock, ttl_ms))
        try:
            yield lock
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            if not lock.lost.is_set():
                await self._unlock(lock)

    async def _unlock(self, lock: Lock) -> None:
        try:
            await self._room.command("room.unlock", {}, fence=lock.fence, command_id=str(uuid4()))
        except ArqonError:
            # Ended already, or out of reach: then its lease ends it.
            lock.lost.set()

    async def _renew(self, lock: Lock, ttl_ms: int) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + ttl_ms / 1_000
        while loop.time() < end:
            await asyncio.sleep(ttl_ms / 3_000)
            try:
                left_ms = max(1, int((end - loop.time()) * 1_000))
                begun = loop.time()
                answer = await self._room.command(
                    "room.lock", {"ttl_ms": ttl_ms}, fence=lock.fence, timeout_ms=left_ms
                )
                lock.until_ms = answer["until_ms"]
                end = begun + ttl_ms / 1_000
            except ArqonError as error:
                if not error.retryable or error.reason == "locked":
                    break
        lock.lost.set()

    async def _change(
        self, name: str, data: dict[str, Any], expect_version: int, epoch: str, fence: int
    ) -> StateVersion:
        answer = await self._room.command(
            name,
            data,
            expect_version=expect_version,
            epoch=epoch,
            fence=fence,
            command_id=str(uuid4()),
        )
        return StateVersion(answer["version"], answer["epoch"])
