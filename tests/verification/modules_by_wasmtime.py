"""Metered modules in V8's two compilers and in wasmtime: the same results, fuel and memory.

The modules are random and store, reinterpret and copy the signs of NaNs, so that memory shows their
bits. Both of V8's compilers and wasmtime run every call after the same calls before it, and all of
them again after the first state has been put back.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from typing import Any, Final, cast

import pytest
import wasmtime
from ours import by_us

MODULES: Final = 600
SEED: Final = 20261122
FUEL_UNITS: Final = 60_000
TIERS: Final = {"baseline": "--liftoff-only", "optimising": "--no-liftoff"}


def by_v8(flag: str) -> list[str]:
    """One line for each module: its bytes, and what V8 made of its calls."""
    flags = ["--allow-read", f"--v8-flags={flag}"]
    return by_us("metered_modules.ts", str(MODULES), str(SEED), flags=flags)


def result_text(kind: str, value: object) -> str:
    """A result as the child writes it."""
    if kind == "i64":
        return f"i64 {value}"
    if kind not in ("i32", "f32", "f64"):
        return "null" if value is None else "reference"
    number = float(cast(float, value))
    if number != number:
        return "nan"
    return f"number {struct.unpack('>Q', struct.pack('>d', number))[0]:x}"


class Instance:
    """A module in wasmtime."""

    def __init__(self, engine: wasmtime.Engine, module_bytes: bytes) -> None:
        self.store = wasmtime.Store(engine)
        module = wasmtime.Module(engine, module_bytes)
        linker = wasmtime.Linker(engine)
        for entry in module.imports:
            kind = entry.type
            assert isinstance(kind, wasmtime.FuncType)
            answer = [0] if kind.results else []

            def host(*_operands: object, answer: list[int] = answer) -> int | None:
                return answer[0] if answer else None

            function = wasmtime.Func(self.store, kind, host)
            linker.define(self.store, entry.module, cast(str, entry.name), function)
        self.exports = linker.instantiate(self.store, module).exports(self.store)
        self.memory = cast(wasmtime.Memory, self.exports["memory"])
        self.first = self.memory.read(self.store, 0, self.memory.data_len(self.store))

    def run(self, name: str) -> None:
        """Calls what the transform has added: it saves or restores the globals."""
        cast(wasmtime.Func, self.exports[name])(self.store)

    def restore(self) -> None:
        """Puts the first state back."""
        self.memory.write(self.store, self.first, 0)
        self.run("arqon_restore")

    def call(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What the child says of the same call."""
        fuel = cast(wasmtime.Global, self.exports["arqon_fuel"])
        height = cast(wasmtime.Global, self.exports["arqon_height"])
        fuel.set_value(self.store, FUEL_UNITS)
        height.set_value(self.store, 0)
        function = cast(wasmtime.Func, self.exports[asked["export"]])
        operands = [float(v) if kind == "f64" else int(v) for kind, v in asked["operands"]]
        results: list[str] | str = "trap"
        try:
            returned = function(self.store, *operands)
            kinds = [str(kind) for kind in function.type(self.store).results]
            values = returned if isinstance(returned, list) else [returned]
            results = [result_text(*pair) for pair in zip(kinds, values, strict=False)]
        except wasmtime.Trap:
            pass
        memory = cast(wasmtime.Memory, self.exports["memory"])
        held = memory.read(self.store, 0, memory.data_len(self.store))
        return {
            **asked,
            "results": results,
            "units": str(fuel.value(self.store)),
            "memory_sha256": hashlib.sha256(held).hexdigest(),
        }


@pytest.fixture(scope="module")
def baseline() -> list[str]:
    """What V8's baseline compiler made of the modules."""
    return by_v8(TIERS["baseline"])


def test_both_compilers_of_v8_give_the_same(baseline: list[str]) -> None:
    assert by_v8(TIERS["optimising"]) == baseline


def test_wasmtime_and_v8_have_the_same_results(baseline: list[str]) -> None:
    engine = wasmtime.Engine()
    returned = 0
    restored = 0
    assert len(baseline) == MODULES
    for line in baseline:
        case = json.loads(line)
        instance = Instance(engine, base64.b64decode(case["module"]))
        if case["again"]:
            instance.run("arqon_save")
        for call in case["calls"]:
            assert instance.call(call) == call
            returned += call["results"] != "trap"
        if not case["again"]:
            continue
        restored += 1
        instance.restore()
        for call in case["calls"]:
            assert instance.call(call) == call
    assert returned > MODULES // 4
    assert restored > MODULES // 8
