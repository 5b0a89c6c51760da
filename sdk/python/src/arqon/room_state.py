"""A room's state: keys with JSON values and one version, and its lock (docs/protocol-rooms.md)."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from arqon._state.held_lock import Lock, hold
from arqon._time.clock import Duration, seconds_of
from arqon._wire.command_answer import fields

if TYPE_CHECKING:
    from arqon.room import Room


@dataclass(frozen=True)
class StateVersion:
    """Where a room's state stands. Versions of different epochs do not compare."""

    version: int
    """One more with every change; 0 before the first."""
    epoch: str


@dataclass(frozen=True)
class RoomEvent(StateVersion):
    """One version of a room: what the JSON of a `ROOM_UPDATE` message has, too."""

    op: str
    """`set`, `delete`, `lock`, `unlock`, `kick`, `ban` or `unban`.

    In a subscription also `state`, made by the SDK where changes were missed that the room no
    longer knows: its members `state` and `lock` are the whole room as it is at this version.
    """
    by: str
    """User id; empty when nobody asked for it: a lease that ended."""
    at_ms: int
    """Unix ms by the Brain's clock."""
    told: dict[str, Any]
    """All that came: `key` and `value` of a set, unless they are long (`truncated`), and so on.

    `first` is True when the room was created with it: what was known of it before is gone.
    """


@dataclass(frozen=True)
class StateRead(StateVersion):
    """What every read answers besides."""

    events: list[RoomEvent] | None
    """With `events_after`: every version after that one; None: not asked, or no longer kept."""


@dataclass(frozen=True)
class StateValue(StateRead):
    """One key."""

    key: str
    value: Any
    """None when there is none."""
    exists: bool


@dataclass(frozen=True)
class StateSnapshot(StateRead):
    """All keys."""

    state: dict[str, Any]
    lock: dict[str, Any] | None
    """`holder`, `connection_id`, `fence`, `until_ms` of the lock that holds now."""


@dataclass(frozen=True)
class Lease(StateVersion):
    """A lock that nobody renews: give `fence` to everything that it guards."""

    fence: int
    until_ms: int
    """Unix ms by the Brain's clock."""


class RoomState:
    """The state of one room, as `room.state`. Each method raises what `Room.command` raises.

    A write is repeated over reconnects and applied once: it has a `command_id`, its own or yours.
    """

    def __init__(self, room: Room) -> None:
        """Use `room.state`."""
        self._room = room

    async def get(
        self,
        key: str,
        *,
        after_version: int = 0,
        epoch: str = "",
        events_after: int | None = None,
        timeout_ms: int | None = None,
    ) -> StateValue:
        """One key, no older than `after_version`; `events_after`: the events since then, too."""
        asked = {"key": key, "events_after": events_after}
        how: dict[str, Any] = {"after_version": after_version, "epoch": epoch}
        found = await self._read(asked, timeout_ms=timeout_ms, **how)
        fields(found, exists=bool)
        value, exists = found.get("value"), found["exists"]
        return StateValue(found["version"], found["epoch"], _events_of(found), key, value, exists)

    async def get_all(
        self,
        *,
        after_version: int = 0,
        epoch: str = "",
        events_after: int | None = None,
        timeout_ms: int | None = None,
    ) -> StateSnapshot:
        """All keys, no older than `after_version`; `events_after` as in `get`: fills a GAP."""
        how: dict[str, Any] = {"after_version": after_version, "epoch": epoch}
        found = await self._read({"events_after": events_after}, timeout_ms=timeout_ms, **how)
        fields(found, state=dict)
        lock = fields(found["lock"], fence=int) if "lock" in found else None
        version, epoch = found["version"], found["epoch"]
        return StateSnapshot(version, epoch, _events_of(found), found["state"], lock)

    async def set(
        self,
        key: str,
        value: Any,
        *,
        expect_version: int = 0,
        epoch: str = "",
        fence: int = 0,
        command_id: str | None = None,
        timeout_ms: int | None = None,
    ) -> StateVersion:
        """Writes one key, with `expect_version` only if nobody else has changed the room since.

        Raises `VersionConflict`, `Locked`, `FenceMismatch`.
        """
        return await self._version(
            "room.set",
            {"key": key, "value": value},
            expect_version=expect_version,
            epoch=epoch,
            fence=fence,
            command_id=command_id,
            timeout_ms=timeout_ms,
        )

    async def delete(
        self,
        key: str,
        *,
        expect_version: int = 0,
        epoch: str = "",
        fence: int = 0,
        command_id: str | None = None,
        timeout_ms: int | None = None,
    ) -> StateVersion:
        """Removes one key."""
        return await self._version(
            "room.delete",
            {"key": key},
            expect_version=expect_version,
            epoch=epoch,
            fence=fence,
            command_id=command_id,
            timeout_ms=timeout_ms,
        )

    def lock(
        self, *, ttl_ms: int = 30_000, wait: Duration = 0
    ) -> AbstractAsyncContextManager[Lock]:
        """`async with room.state.lock() as lock:` — locked while the block runs.

        Renewed after each third of `ttl_ms` (at most 600,000), somewhat earlier by chance. Raises
        `Locked` while somebody else holds it; `retry_after_ms` is what is left of that lease.
        Cancelled while it waits, it unlocks what it gets all the same.

        With `wait` (seconds, a timedelta, or `"10s"`) it asks again for so long, in waits of up to
        a second, before it raises `Locked`. Of several who wait anyone may be next, whoever came
        first.
        """
        return hold(self, self._room.bus, ttl_ms, seconds_of("wait", wait))

    async def acquire_lock(
        self, *, ttl_ms: int = 30_000, fence: int = 0, timeout_ms: int | None = None
    ) -> Lease:
        """Locks the room for that time, or, with the fence of a lease that still holds, renews it.

        Nothing renews it on its own. Raises `Locked` while somebody else holds it.
        """
        how: dict[str, Any] = {"fence": fence, "timeout_ms": timeout_ms}
        found = await self._change("room.lock", {"ttl_ms": ttl_ms}, **how)
        fields(found, fence=int, until_ms=int)
        return Lease(found["version"], found["epoch"], found["fence"], found["until_ms"])

    async def unlock(self, fence: int, *, timeout_ms: int | None = None) -> StateVersion:
        """Ends the lock with this fence. Raises `FenceMismatch` when it has ended already."""
        return await self._version("room.unlock", {}, fence=fence, timeout_ms=timeout_ms)

    async def _read(self, asked: dict[str, Any], **how: Any) -> dict[str, Any]:
        data = {name: value for name, value in asked.items() if value is not None}
        return fields(await self._room.command("room.get", data, **how), version=int, epoch=str)

    async def _change(
        self, name: str, data: Any, *, command_id: str | None = None, **how: Any
    ) -> dict[str, Any]:
        own = str(uuid4()) if command_id is None else command_id
        answer = await self._room.command(name, data, command_id=own, **how)
        return fields(answer, version=int, epoch=str)

    async def _version(self, name: str, data: Any, **how: Any) -> StateVersion:
        found = await self._change(name, data, **how)
        return StateVersion(found["version"], found["epoch"])


def _events_of(found: dict[str, Any]) -> list[RoomEvent] | None:
    if "events" not in found:
        return None
    fields(found, events=list)
    told = [fields(e, version=int, epoch=str, op=str, by=str, at_ms=int) for e in found["events"]]
    return [RoomEvent(e["version"], e["epoch"], e["op"], e["by"], e["at_ms"], e) for e in told]
