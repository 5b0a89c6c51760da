"""A metered guest in wasmtime, as policies/ABI.md and policies/REDUCER_ABI.md have it."""

from __future__ import annotations

import base64
from typing import Any, Final, cast

import wasmtime

INIT_UNITS: Final = 2_500_000
ENDING: Final = 20_000
ENDING_SLOT: Final = 6


class Rejected(Exception):
    """The guest refuses."""


class Guest:
    """A module, and an instance that asks its host for what it imports."""

    def __init__(self, engine: wasmtime.Engine, module: str, host: object) -> None:
        self.engine = engine
        self.module = wasmtime.Module(engine, base64.b64decode(module))
        self.host = host
        self.exports: Any = None

    def start(self) -> None:
        """Makes a new instance."""
        self.store = wasmtime.Store(self.engine)
        linker = wasmtime.Linker(self.engine)
        for entry in self.module.imports:
            kind = cast(wasmtime.FuncType, entry.type)
            name = cast(str, entry.name)
            function = wasmtime.Func(self.store, kind, getattr(self.host, name))
            linker.define(self.store, entry.module, name, function)
        self.exports = linker.instantiate(self.store, self.module).exports(self.store)
        if "arqon_init" in [export.name for export in self.module.exports]:
            self.exports["arqon_fuel"].set_value(self.store, INIT_UNITS)
            self.exports["arqon_init"](self.store)

    def charge(self, units: int) -> None:
        """Takes units of the call's fuel."""
        fuel = self.exports["arqon_fuel"]
        left = fuel.value(self.store) - units
        fuel.set_value(self.store, left)
        assert left >= 0

    def read(self, at: int, size: int) -> bytes:
        """Bytes of the guest's memory."""
        at, size = at & 0xFFFFFFFF, size & 0xFFFFFFFF
        return bytes(self.exports["memory"].read(self.store, at, at + size))

    def give(self, value: bytes | None, units: int) -> int:
        """Copies a value into memory that the guest allocates."""
        if value is None:
            return 0
        self.charge(units)
        at = self.exports["arqon_alloc"](self.store, 4 + len(value)) & 0xFFFFFFFF
        data = len(value).to_bytes(4, "little") + value
        self.exports["memory"].write(self.store, data, at)
        return int(at - (1 << 32) if at >= 1 << 31 else at)

    def call(self, name: str, budget: int) -> tuple[int | None, int]:
        """What a function of the guest returns, None if it refuses; and what it has cost."""
        fuel, height = self.exports["arqon_fuel"], self.exports["arqon_height"]
        fuel.set_value(self.store, budget)
        height.set_value(self.store, 0)
        ending = 0
        result: int | None = None
        try:
            result = self.exports[name](self.store)
        except Rejected:
            ending = ENDING + ENDING_SLOT * height.value(self.store)
        return result, budget - fuel.value(self.store) + ending
