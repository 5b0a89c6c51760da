"""Optimistic calls of rooms that are programs: the room's module also runs in the client.

The room's decision corrects wrong predictions. Needs `pip install arqon-sdk[optimistic]`;
docs/room-values.md lists what a prediction does not know.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
import struct
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from arqon._tasks import cancel, first_of
from arqon.errors import ArqonError, error_of
from arqon.message import encode_data
from arqon.reducers import Called, Changes, Value, call, differences, put, watch

if TYPE_CHECKING:
    from arqon.room import Room

try:
    import wasmtime
except ImportError as error:
    raise ImportError("this needs: pip install 'arqon-sdk[optimistic]'") from error

__all__ = ["OptimisticRoom", "optimistic"]

Guess: TypeAlias = Callable[[Mapping[str, Value]], Changes | None]
"""Predicts the changes of a call; None: it would be refused, or its effect is unknown."""

# The most changes that are held back; above, the oldest is applied, whoever made it.
_HELD_MAX: Final = 1_000


@dataclass
class _Pending:
    number: int
    guess: Guess
    entry: int | None = None
    """The entry whose changes will follow; None: no answer yet."""


@dataclass(frozen=True)
class _Held:
    number: int
    """The number of the last call made before it arrived."""
    version: int
    changes: Changes


class Rebase:
    """The values of a room, and the predictions of own calls on top of them."""

    def __init__(self) -> None:
        self.version = 0
        """The entry of the values below the predictions."""
        self.values: dict[str, Value] = {}
        self._confirmed: dict[str, Value] = {}
        self._pending: list[_Pending] = []
        self._held: list[_Held] = []
        self._last = 0

    @property
    def pending(self) -> int:
        """The number of unconfirmed calls."""
        return len(self._pending)

    def call(self, guess: Guess) -> tuple[int, Changes]:
        """Adds a call; returns its number and its predicted changes."""
        self._last += 1
        self._pending.append(_Pending(self._last, guess))
        return self._last, self._guess_anew()

    def answered(self, number: int, entry: int | None) -> Changes:
        """Applies the outcome of a call: the entry whose changes will follow; None: no change."""
        for one in self._pending:
            if one.number == number:
                one.entry = 0 if entry is None else entry
        self._release()
        return self._guess_anew()

    def confirmed(self, version: int, changes: Changes) -> Changes:
        """Applies changes from the room; returns the values that differ from before."""
        self._held.append(_Held(self._last, version, changes))
        self._release()
        return self._guess_anew()

    def withdraw(self) -> Changes:
        """Withdraws all predictions: their outcomes will not be received."""
        self._pending = []
        self._release()
        return self._guess_anew()

    def _release(self) -> None:
        """Applies held changes that no longer wait for an answer."""
        opened = [one.number for one in self._pending if one.entry is None]
        while self._held:
            waits = bool(opened) and self._held[0].number >= opened[0]
            if waits and len(self._held) <= _HELD_MAX:
                break
            held = self._held.pop(0)
            put(self._confirmed, held.changes)
            if held.version < self.version:
                # Entries have restarted: earlier answers refer to none of them.
                self._pending = [one for one in self._pending if one.entry is None]
            self.version = held.version
        self._pending = [
            one for one in self._pending if one.entry is None or one.entry > self.version
        ]

    def _guess_anew(self) -> Changes:
        before, self.values = self.values, dict(self._confirmed)
        for one in self._pending:
            put(self.values, one.guess(self.values) or {})
        return differences(before, self.values)


# Instructions of one prediction; a call on the bus has far fewer.
_FUEL: Final = 50_000_000
# The fuel for a module that was metered elsewhere: the default of a call.
_FUEL_UNITS: Final = 5_000_000
_SCAN_BYTES: Final = 65_536
_NEEDED: Final = ("memory", "arqon_alloc", "arqon_apply")


@dataclass(frozen=True)
class GuessedCall:
    """The call that is predicted."""

    command: str
    data: bytes
    id: str
    user: str
    role: str
    claims: Mapping[str, str]
    room: str
    now_ms: int
    randoms: list[int] = field(default_factory=list[int])
    """The random numbers drawn so far: the same ones for each prediction of this call."""


class _RefusedError(Exception):
    """Ends a prediction."""


def _bytes_of(value: Value) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _value_of(raw: bytes) -> Value:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


class ReducerGuest:
    """A module for predictions."""

    def __init__(self, module: bytes, fuel_units: int = _FUEL_UNITS) -> None:
        """Raises ValueError for a module that is no reducer. `fuel_units`: of a metered module."""
        self.fuel_units = fuel_units
        config = wasmtime.Config()
        config.consume_fuel = True
        self.engine = wasmtime.Engine(config)
        try:
            self.module = wasmtime.Module(self.engine, module)
        except wasmtime.WasmtimeError as error:
            raise ValueError(f"no WebAssembly module: {error}") from error
        exported = {export.name for export in self.module.exports}
        for name in _NEEDED:
            if name not in exported:
                raise ValueError(f"the module is no reducer: it exports no {name}")
        for one in self.module.imports:
            if one.module != "arqon_room_v1" or not hasattr(_Guessing, f"do_{one.name}"):
                raise ValueError(f"the module imports {one.module}.{one.name}; expected a room's")
        self.exported = exported
        self.has_init = "arqon_init" in exported

    def guess(self, call: GuessedCall, values: Mapping[str, Value], offset: int) -> Changes | None:
        """The reducer's changes for a call; None if it refuses the call, or fails."""
        guessing = _Guessing(call, values, offset)
        try:
            return guessing.changes if guessing.run(self) == 0 else None
        except (wasmtime.WasmtimeError, wasmtime.Trap, _RefusedError, ValueError, IndexError):
            return None


class _Guessing:
    """One running prediction."""

    def __init__(self, call: GuessedCall, values: Mapping[str, Value], offset: int) -> None:
        self.changes: Changes = {}
        self._call = call
        self._values = values
        self._offset = offset
        self._drawn = 0
        self._store: wasmtime.Store
        self._exports: Any = None

    def run(self, guest: ReducerGuest) -> int:
        store = self._store = wasmtime.Store(guest.engine)
        store.set_fuel(_FUEL)
        linker = wasmtime.Linker(guest.engine)
        for one in guest.module.imports:
            kind = cast("wasmtime.FuncType", one.type)
            name = cast("str", one.name)
            function = wasmtime.Func(store, kind, getattr(self, f"do_{name}"))
            linker.define(store, one.module, name, function)
        exports: Any = linker.instantiate(store, guest.module).exports(store)
        if "arqon_fuel" in guest.exported:
            # A module from the bus is metered, and has no fuel until this is set.
            exports["arqon_fuel"].set_value(store, guest.fuel_units)
        if guest.has_init:
            exports["arqon_init"](store)
        self._exports = exports
        return int(exports["arqon_apply"](store))

    def _read(self, at: int, size: int) -> bytes:
        if self._exports is None:
            raise _RefusedError
        at, size = at & 0xFFFFFFFF, size & 0xFFFFFFFF
        return bytes(self._exports["memory"].read(self._store, at, at + size))

    def _text(self, at: int, size: int) -> str:
        return self._read(at, size).decode()

    def _give(self, value: Value | None) -> int:
        if value is None:
            return 0
        raw = _bytes_of(value)
        at = self._exports["arqon_alloc"](self._store, 4 + len(raw)) & 0xFFFFFFFF
        if at == 0:
            raise _RefusedError
        self._exports["memory"].write(self._store, struct.pack("<I", len(raw)) + raw, at)
        return int(at - (1 << 32) if at >= 1 << 31 else at)

    def _known(self, key: str) -> Value | None:
        return self.changes[key] if key in self.changes else self._values.get(key)

    def do_room_field(self, which: int) -> int:
        call = self._call
        return self._give(
            (call.command, call.data, call.user, call.role, call.room, call.id)[which]
        )

    def do_room_claim(self, at: int, size: int) -> int:
        return self._give(self._call.claims.get(self._text(at, size)))

    def do_room_now(self) -> int:
        return self._call.now_ms

    def do_room_offset(self) -> int:
        return self._offset

    def do_room_random(self) -> int:
        randoms = self._call.randoms
        if self._drawn == len(randoms):
            randoms.append(secrets.randbits(64) - (1 << 63))
        self._drawn += 1
        return randoms[self._drawn - 1]

    def do_room_read(self, at: int, size: int) -> int:
        return self._give(self._known(self._text(at, size)))

    def do_room_write(self, key: int, key_size: int, at: int, size: int) -> None:
        self.changes[self._text(key, key_size)] = _value_of(self._read(at, size))

    def do_room_delete(self, at: int, size: int) -> None:
        self.changes[self._text(at, size)] = None

    def do_room_scan(self, at: int, size: int, after: int, after_size: int, most: int) -> int:
        prefix, above = self._read(at, size), self._read(after, after_size)
        packed = b""
        for key in sorted(_bytes_of(one) for one in self._values.keys() | self.changes.keys()):
            value = self._known(key.decode())
            if value is None or not key.startswith(prefix) or (above and key <= above):
                continue
            parts = (key, _bytes_of(value))
            more = b"".join(struct.pack("<I", len(part)) + part for part in parts)
            if packed and len(packed) + len(more) > _SCAN_BYTES:
                break
            packed += more
            most -= 1
            if most <= 0:
                break
        return self._give(packed)

    def _leave_to_room(self, *_: int) -> None: ...

    # Events, answers and timers.
    do_room_emit = do_room_answer = do_room_schedule = do_room_unschedule = _leave_to_room
    do_room_log = _leave_to_room

    def do_room_reject(self, *_: int) -> None:
        raise _RefusedError


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
            await first_of(asked, self._following or asked)
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
            await cancel(self._following)
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
