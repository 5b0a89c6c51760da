"""Runs a reducer in the client to guess what a call will do: `arqon_room_v1` over known values.

It has the fuel of wasmtime and not the bus's, and holds nothing to the bounds of a room: the room
decides, this only guesses. Needs `pip install arqon-sdk[optimistic]`.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

try:
    import wasmtime
except ImportError as error:
    raise ImportError("this needs: pip install 'arqon-sdk[optimistic]'") from error

from arqon._state.values_view import Changes, Value

# Instructions of one guess; a call on the bus has far fewer.
_FUEL: Final = 50_000_000
# What a module that was metered otherwise may do: as much as a call has by default.
_FUEL_UNITS: Final = 5_000_000
_SCAN_BYTES: Final = 65_536
_NEEDED: Final = ("memory", "arqon_alloc", "arqon_apply")


@dataclass(frozen=True)
class GuessedCall:
    """What a guess is about."""

    command: str
    data: bytes
    id: str
    user: str
    role: str
    claims: Mapping[str, str]
    room: str
    now_ms: int
    randoms: list[int] = field(default_factory=list[int])
    """Random numbers that it has drawn: the same ones each time that it is guessed anew."""


class _RefusedError(Exception):
    """Ends a guess."""


def _bytes_of(value: Value) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _value_of(raw: bytes) -> Value:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


class ReducerGuest:
    """A module that guesses."""

    def __init__(self, module: bytes, fuel_units: int = _FUEL_UNITS) -> None:
        """Raises ValueError for what is no reducer. `fuel_units` are those of one of the bus."""
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
        """What the reducer does with a call; None when it refuses it, or fails."""
        guessing = _Guessing(call, values, offset)
        try:
            return guessing.changes if guessing.run(self) == 0 else None
        except (wasmtime.WasmtimeError, wasmtime.Trap, _RefusedError, ValueError, IndexError):
            return None


class _Guessing:
    """One guess at work."""

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
            # What the bus gives is metered, and has none until it is notified.
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

    # What others receive, and what comes later, is the room's.
    def do_room_emit(self, *_: int) -> None: ...

    def do_room_answer(self, *_: int) -> None: ...

    def do_room_schedule(self, *_: int) -> None: ...

    def do_room_unschedule(self, *_: int) -> None: ...

    def do_room_log(self, *_: int) -> None: ...

    def do_room_reject(self, *_: int) -> None:
        raise _RefusedError
