"""Recorded calls of policies in wasmtime: the same verdict, words, payload, state and fuel.

The host is written again here, from policies/ABI.md and policies/ABI_V2.md: it shares nothing with
ours.
Example policies are asked by our recorder, and by a bus, whose decisions `arq proof decide` has
repeated.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Final, cast

import pytest
import wasmtime
from guest import Guest, Rejected
from ours import by_us

CALLS: Final = {"recorded_calls.ts": 1_000, "journalled_decisions.ts": 50}
Record = dict[str, Any]


class Host:
    """An instance of a policy and what it may ask for."""

    def __init__(self, engine: wasmtime.Engine, about: Record) -> None:
        self.guest = Guest(engine, about["module"], self)
        self.slots: list[Record] = about["slots"]
        self.is_fresh = about["abi"] == 2
        self.has_asked = False
        self.replaced: bytes | None = None
        self.rejected: tuple[int, str] | None = None

    def asked(self, kind: str, name: str) -> bytes | None:
        """A recorded header or claim."""
        if not self.has_asked:
            self.has_asked = True
            self.guest.charge(self.policy["asking_bytes"] * 8)
        for one in self.policy["reads"]:
            if one["from"] == kind and one["name"] == name:
                return None if one["value"] is None else str(one["value"]).encode()
        raise AssertionError(f"{kind} {name} is not in the record")

    def host_get_header(self, at: int, size: int) -> int:
        value = self.asked("header", self.guest.read(at, size).decode().lower())
        return self.guest.give(value, 4 * len(value or b""))

    def host_get_claim(self, at: int, size: int) -> int:
        value = self.asked("claim", self.guest.read(at, size).decode())
        return self.guest.give(value, 4 * len(value or b""))

    def host_get_payload(self) -> int:
        return self.guest.give(self.payload, -(-len(self.payload) // 8))

    def host_add_header(self, *where: int) -> None:
        name, value = self.guest.read(*where[:2]).decode(), self.guest.read(*where[2:]).decode()
        self.headers.append([name, value])

    def host_log(self, _level: int, _at: int, _size: int) -> None:
        pass

    def host_reject(self, code: int, at: int, size: int) -> None:
        self.rejected = (code, self.guest.read(at, size).decode())
        raise Rejected

    def host_set_payload(self, at: int, size: int) -> None:
        if self.replaced is None:
            self.guest.charge(2_500)
        self.replaced = self.guest.read(at, size)

    def host_state_get(self, slot: int) -> int:
        if slot in self.written:
            value = self.written[slot]
        else:
            reads = self.policy["reads"]
            names = [one for one in reads if one["name"] == self.slots[slot]["key"]]
            value = base64.b64decode(names[0]["value"]) if names[0]["value"] is not None else None
        return self.guest.give(value, len(value or b""))

    def host_state_set(self, slot: int, at: int, size: int) -> None:
        value = self.guest.read(at, size)
        self.guest.charge(3 * len(value))
        self.write(slot, value)

    def host_state_delete(self, slot: int) -> None:
        self.write(slot, None)

    def write(self, slot: int, value: bytes | None) -> None:
        """The first writing of a slot in a call is 2,500 units."""
        if slot not in self.written:
            self.guest.charge(2_500)
        self.written[slot] = value

    def call(self, record: Record) -> Record:
        """What the policy says of a recorded message, as the record has it."""
        guest = self.guest
        if guest.exports is None or self.is_fresh:
            guest.start()
        self.policy: Record = record["policies"][0]
        self.payload = base64.b64decode(record["payload"]["data"])
        self.headers: list[list[str]] = []
        self.written: dict[int, bytes | None] = {}
        self.replaced = None
        self.rejected = None
        self.has_asked = self.policy["asking_bytes"] == 0
        budget = self.policy["budget_units"]
        stack = guest.exports["__stack_pointer"] if self.has_stack() else None
        before = stack.value(guest.store) if stack else 0
        verdict, cost = guest.call("arqon_on_message", budget)
        if stack:
            stack.set_value(guest.store, before)
        code, reason = self.rejected or ((0, "") if verdict == 0 else (403, ""))
        return {
            "allowed": code == 0,
            "code": code,
            "reason": reason,
            "units": min(budget, cost),
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
            for export in self.guest.module.exports
        )

    @staticmethod
    def encoded(value: bytes | None) -> str | None:
        """Bytes as a record has them."""
        return None if value is None else base64.b64encode(value).decode()


@pytest.fixture(scope="module", params=CALLS)
def lines(request: pytest.FixtureRequest) -> list[Record]:
    """Modules, each with its recorded calls behind it."""
    flags = ["-A", "--unstable-worker-options", "--unstable-net"]
    printed = by_us(request.param, str(CALLS[request.param]), flags=flags)
    return [json.loads(line) for line in printed]


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
