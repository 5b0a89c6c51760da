"""Optimistic calls of rooms that are programs: the room's module also runs in the client.

The room's decision corrects wrong predictions. Needs `pip install arqon-sdk[optimistic]`;
docs/room-values.md lists what a prediction does not know.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from arqon._state.reducer_guest import GuessedCall, Rebase, ReducerGuest
from arqon.errors import ArqonError, error_of
from arqon.message import encode_data
from arqon.reducers import Called, Changes, Value, call, watch

if TYPE_CHECKING:
    from arqon.room import Room

__all__ = ["OptimisticRoom", "optimistic"]


# Retries when a deploy interrupts the read of a module.
_ATTEMPTS: Final = 8


async def _read_module(room: Room) -> tuple[bytes, int] | None:
    """The module, which is metered, and its fuel; None: another one was deployed meanwhile."""
    first: dict[str, Any] = await room.command("room.module", {})
    page, content = first, b""
    while True:
        part = base64.b64decode(page["bytes"])
        content += part
        is_other = page["sha256"] != first["sha256"]
        if is_other or not part or len(content) > first["size_bytes"]:
            return None
        if len(content) == first["size_bytes"]:
            break
        page = await room.command("room.module", {"from": len(content)})
    is_whole = hashlib.sha256(content).hexdigest() == first["sha256"]
    return (content, first["fuel_units"]) if is_whole else None


async def _served_guest(room: Room) -> ReducerGuest:
    """The room's module. Raises `InvalidCommand` if the room's class does not publish it."""
    for _ in range(_ATTEMPTS):
        found = await _read_module(room)
        if found is not None:
            return ReducerGuest(*found)
    raise error_of("answer-timeout", f"room.module of {room.id}")


class OptimisticRoom:
    """A room with optimistic calls: `async with optimistic(room, module) as auction:`.

    `module` is the file of `arq reducer build`; None: it is read from the bus, if the room's class
    has `reducer_public`. `user`, `role` and `claims` are the caller's, for the reducer. `on_change`
    receives changed values, whoever changed them.
    """

    def __init__(
        self,
        room: Room,
        module: bytes | None = None,
        *,
        prefix: str = "",
        user: str = "",
        role: str = "user",
        claims: Mapping[str, str] | None = None,
        on_change: Callable[[Changes], object] | None = None,
    ) -> None:
        """Raises ValueError for a module that is not a reducer."""
        self._room = room
        self._guest = None if module is None else ReducerGuest(module)
        self._prefix = prefix
        self._who = user, role, claims or {}
        self._on_change = on_change
        self._rebase = Rebase()
        self.watched = watch(room, prefix)
        """The confirmed values."""
        self._following: asyncio.Task[None] | None = None
        self._error: ArqonError | None = None

    @property
    def pending(self) -> int:
        """The number of own calls that the room has not confirmed."""
        return self._rebase.pending

    def read(self, key: str) -> Value | None:
        """The value of a key, including the predictions of own calls; None: none."""
        return self._rebase.values.get(key) if key.startswith(self._prefix) else None

    def entries(self) -> list[tuple[str, Value]]:
        """All values below the prefix in the order of their keys."""
        shown = [one for one in self._rebase.values.items() if one[0].startswith(self._prefix)]
        return sorted(shown, key=lambda one: one[0].encode())

    def call(
        self,
        command: str,
        data: Any = None,
        *,
        call_id: str | None = None,
        timeout_ms: int | None = None,
    ) -> asyncio.Task[Called[Any]]:
        """As `arqon.reducers.call`; predicted changes are visible when this returns the task.

        Raises the error that ended `watched`, such as a kick. The task of a call under way raises
        it, too; that call may have been applied.
        """
        if self._error is not None:
            raise self._error.again()
        identity = call_id or str(uuid.uuid4())
        user, role, claims = self._who
        now_ms = int(time.time() * 1_000)
        raw = b"" if data is None else encode_data(data, None)[0]
        asked = GuessedCall(command, raw, identity, user, role, claims, self._room.id, now_ms)
        guest = self._guest
        number, changes = self._rebase.call(
            lambda known: guest.guess(asked, known, self._rebase.version + 1) if guest else None
        )
        self._tell(changes)
        return asyncio.get_running_loop().create_task(
            self._ask(number, command, data, identity, timeout_ms)
        )

    async def _ask(
        self, number: int, command: str, data: Any, call_id: str, timeout_ms: int | None
    ) -> Called[Any]:
        entry: int | None = None
        asked = asyncio.ensure_future(
            call(self._room, command, data, call_id=call_id, timeout_ms=timeout_ms)
        )
        try:
            ends = {asked, self._following or asked}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._error is not None and not asked.done():
                raise self._error.again()
            called = await asked
            if called.visible or called.repeats is not None:
                entry = called.repeats or called.entry
            return called
        finally:
            asked.cancel()
            self._tell(self._rebase.answered(number, entry))

    async def __aenter__(self) -> OptimisticRoom:
        """Reads the module and the values. Raises the refusal."""
        if self._guest is None:
            self._guest = await _served_guest(self._room)
        await self.watched.__aenter__()
        first = await anext(self.watched)
        self._tell(self._rebase.confirmed(first.version, first.changes))
        self._following = asyncio.get_running_loop().create_task(self._follow())
        return self

    async def __aexit__(self, *raised: object) -> None:
        """Ends it; calls under way continue."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self.watched.__aexit__(*raised)

    async def _follow(self) -> None:
        try:
            async for changed in self.watched:
                self._tell(self._rebase.confirmed(changed.version, changed.changes))
        except ArqonError as error:
            self._error = error
            self._tell(self._rebase.withdraw())

    def _tell(self, changes: Changes) -> None:
        shown = {key: value for key, value in changes.items() if key.startswith(self._prefix)}
        if shown and self._on_change is not None:
            self._on_change(shown)


optimistic = OptimisticRoom
