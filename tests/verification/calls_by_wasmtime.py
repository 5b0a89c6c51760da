"""Recorded calls of policies in wasmtime: the same verdict, words, payload, state and fuel.

The host is written again here, from policies/ABI.md and policies/ABI_V2.md: it shares nothing with
ours.
Example policies are asked by our recorder, and by a bus, whose decisions `arq proof decide` has
repeated.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final, cast

import pytest
import wasmtime

ROOT: Final = Path(__file__).parents[2]
CALLS: Final = {"recorded_calls.ts": 1_000, "journalled_decisions.ts": 50}
ENDING: Final = 20_000
ENDING_SLOT: Final = 6
Record = dict[str, Any]


class Rejected(Exception):
    """The policy refuses."""


def deno() -> list[str]:
    """The runtime: of the PATH, else npm's."""
    found = shutil.which("deno")
    return [found] if found else ["npx", "-y", "deno"]


class Host:
    """An instance of a policy and what it may ask for."""

    def __init__(self, engine: wasmtime.Engine, about: Record) -> None:
        self.module = wasmtime.Module(engine, base64.b64decode(about["module"]))
        self.engine = engine
        self.slots: list[Record] = about["slots"]
        self.is_fresh = about["abi"] == 2
        self.exports: Any = None
        self.has_asked = False
        self.replaced: bytes | None = None
        self.rejected: tuple[int, str] | None = None

    def start(self) -> None:
        """Makes a new instance."""
        self.store = wasmtime.Store(self.engine)
        linker = wasmtime.Linker(self.engine)
        for entry in self.module.imports:
            kind = cast(wasmtime.FuncType, entry.type)
            name = cast(str, entry.name)
            function = wasmtime.Func(self.store, kind, getattr(self, name))
            linker.define(self.store, entry.module, name, function)
        self.exports = linker.instantiate(self.store, self.module).exports(self.store)
        if "arqon_init" in [export.name for export in self.module.exports]:
            self.exports["arqon_fuel"].set_value(self.store, 2_500_000)
            self.exports["arqon_init"](self.store)

    def charge(self, units: int) -> None:
        """Takes units of the call's fuel."""
        fuel = self.exports["arqon_fuel"]
        left = fuel.value(self.store) - units
        fuel.set_value(self.store, left)
        assert left >= 0

    def read(self, at: int, size: int) -> bytes:
        """Bytes of the policy's memory."""
        at, size = at & 0xFFFFFFFF, size & 0xFFFFFFFF
        return bytes(self.exports["memory"].read(self.store, at, at + size))

    def give(self, value: bytes | None, units: int) -> int:
        """Copies a value into memory that the policy allocates."""
        if value is None:
            return 0
        self.charge(units)
        at = self.exports["arqon_alloc"](self.store, 4 + len(value)) & 0xFFFFFFFF
        data = len(value).to_bytes(4, "little") + value
        self.exports["memory"].write(self.store, data, at)
        return int(at - (1 << 32) if at >= 1 << 31 else at)

    def asked(self, kind: str, name: str) -> bytes | None:
        """A recorded header or claim."""
        if not self.has_asked:
            self.has_asked = True
            self.charge(self.policy["asking_bytes"] * 8)
        for one in self.policy["reads"]:
            if one["from"] == kind and one["name"] == name:
                return None if one["value"] is None else str(one["value"]).encode()
        raise AssertionError(f"{kind} {name} is not in the record")

    def host_get_header(self, at: int, size: int) -> int:
        value = self.asked("header", self.read(at, size).decode().lower())
        return self.give(value, 4 * len(value or b""))

    def host_get_claim(self, at: int, size: int) -> int:
        value = self.asked("claim", self.read(at, size).decode())
        return self.give(value, 4 * len(value or b""))

    def host_get_payload(self) -> int:
        return self.give(self.payload, -(-len(self.payload) // 8))

    def host_add_header(self, *where: int) -> None:
        name, value = self.read(*where[:2]).decode(), self.read(*where[2:]).decode()
        self.headers.append([name, value])

    def host_log(self, _level: int, _at: int, _size: int) -> None:
        pass

    def host_reject(self, code: int, at: int, size: int) -> None:
        self.rejected = (code, self.read(at, size).decode())
        raise Rejected

    def host_set_payload(self, at: int, size: int) -> None:
        if self.replaced is None:
            self.charge(2_500)
        self.replaced = self.read(at, size)

    def host_state_get(self, slot: int) -> int:
        if slot in self.written:
            value = self.written[slot]
        else:
            reads = self.policy["reads"]
            names = [one for one in reads if one["name"] == self.slots[slot]["key"]]
            value = base64.b64decode(names[0]["value"]) if names[0]["value"] is not None else None
        return self.give(value, len(value or b""))

    def host_state_set(self, slot: int, at: int, size: int) -> None:
        value = self.read(at, size)
        self.charge(3 * len(value))
        self.write(slot, value)

    def host_state_delete(self, slot: int) -> None:
        self.write(slot, None)

    def write(self, slot: int, value: bytes | None) -> None:
        """The first writing of a slot in a call is 2,500 units."""
        if slot not in self.written:
            self.charge(2_500)
        self.written[slot] = value

    def call(self, record: Record) -> Record:
        """What the policy says of a recorded message, as the record has it."""
        if self.exports is None or self.is_fresh:
            self.start()
        self.policy: Record = record["policies"][0]
        self.payload = base64.b64decode(record["payload"]["data"])
        self.headers: list[list[str]] = []
        self.written: dict[int, bytes | None] = {}
        self.replaced = None
        self.rejected = None
        self.has_asked = self.policy["asking_bytes"] == 0
        budget = self.policy["budget_units"]
        self.exports["arqon_fuel"].set_value(self.store, budget)
        self.exports["arqon_height"].set_value(self.store, 0)
        stack = self.exports["__stack_pointer"] if self.has_stack() else None
        before = stack.value(self.store) if stack else 0
        ending = 0
        verdict: int | None = None
        try:
            verdict = self.exports["arqon_on_message"](self.store)
        except Rejected:
            ending = ENDING + ENDING_SLOT * self.exports["arqon_height"].value(self.store)
        if stack:
            stack.set_value(self.store, before)
        left = self.exports["arqon_fuel"].value(self.store)
        code, reason = self.rejected or ((0, "") if verdict == 0 else (403, ""))
        return {
            "allowed": code == 0,
            "code": code,
            "reason": reason,
            "units": min(budget, budget - left + ending),
            "added_headers": self.headers if code == 0 else [],
            "payload": self.encoded(self.replaced if code == 0 else None),
            "writes": [
                {"name": self.slots[slot]["key"], "value": self.encoded(value)}
                for slot, value in self.written.items()
            ],
        }

    def has_stack(self) -> bool:
        """Whether the policy shows a stack pointer that may be put back."""
        return any(
            export.name == "__stack_pointer" and cast(wasmtime.GlobalType, export.type).mutable
            for export in self.module.exports
        )

    @staticmethod
    def encoded(value: bytes | None) -> str | None:
        """Bytes as a record has them."""
        return None if value is None else base64.b64encode(value).decode()


@pytest.fixture(scope="module", params=CALLS)
def lines(request: pytest.FixtureRequest) -> list[Record]:
    """Modules, each with its recorded calls behind it."""
    child = ROOT / "tests" / "verification" / request.param
    unstable = ["--unstable-worker-options", "--unstable-net"]
    command = [*deno(), "run", "--quiet", "-A", *unstable, str(child), str(CALLS[request.param])]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600, cwd=ROOT)
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_wasmtime_repeats_the_record(lines: list[Record]) -> None:
    engine = wasmtime.Engine()
    host: Host | None = None
    calls = refused = 0
    for line in lines:
        if "policies" not in line:
            host = Host(engine, line)
            continue
        assert host is not None
        policy = line["policies"][0]
        answer = host.call(line)
        assert answer == {name: policy[name] for name in answer}, line["id"]
        calls += 1
        refused += not policy["allowed"]
    assert calls == len([line for line in lines if "policies" in line]) > 0
    assert 0 < refused < calls
