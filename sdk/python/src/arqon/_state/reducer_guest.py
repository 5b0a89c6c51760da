"""The values of a room as the client shows them: the confirmed ones and predictions of own calls.

Unconfirmed calls are predicted again after each change. A change that arrives while calls wait for
their answers may be theirs: it is held back until those are answered, so that no call counts twice.
The bus answers a call before it publishes the call's changes.

A prediction runs the reducer in the client, with the fuel of wasmtime; the room decides. Needs
`pip install arqon-sdk[optimistic]`.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast

try:
    import wasmtime
except ImportError as error:
    raise ImportError("this needs: pip install 'arqon-sdk[optimistic]'") from error

from arqon._state.watched_values import Changes, Value, differences, put

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

    # Events, answers and timers are left to the room.
    def do_room_emit(self, *_: int) -> None: ...

    def do_room_answer(self, *_: int) -> None: ...

    def do_room_schedule(self, *_: int) -> None: ...

    def do_room_unschedule(self, *_: int) -> None: ...

    def do_room_log(self, *_: int) -> None: ...

    def do_room_reject(self, *_: int) -> None:
        raise _RefusedError
