"""Rooms with reducers in wasmtime: the same verdicts, answers, events, fuel and digests.

The host and the fold are written again here, from policies/REDUCER_ABI.md: they share nothing with
ours but the metered modules. `rooms_by_wasmtime.py FILE` prints what the log of a room comes to.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import wasmtime
from guest import Guest, Rejected
from ours import by_us

COMMANDS: Final = 600
UNITS_PER_FUEL: Final = 500
CHANGE: Final = 2_500
PER_BYTE: Final = 8
SCAN_ENTRY: Final = 500
RANDOM: Final = 4_000
REMEMBERED: Final = 1_000
MIGRATION: Final = 20
Record = dict[str, Any]
Timer = tuple[int, str, bytes]


def u32(number: int) -> bytes:
    """A length."""
    return struct.pack("<I", number)


def i64(number: int) -> bytes:
    """A whole number."""
    return struct.pack("<q", number)


def run_of(content: bytes) -> bytes:
    """Bytes behind their length."""
    return u32(len(content)) + content


def text(content: str) -> bytes:
    """A text behind its length."""
    return run_of(content.encode())


def random_number(seed: bytes, offset: int, drawn: int) -> int:
    """The random numbers of an entry."""
    digest = hashlib.sha256(seed + i64(offset) + u32(drawn)).digest()
    return int(struct.unpack("<q", digest[:8])[0])


class Room:
    """The state of a room, and an instance for each command."""

    def __init__(self, about: Record) -> None:
        self.engine = wasmtime.Engine()
        self.take(about)
        self.room: str = about["room"]
        self.values: dict[bytes, bytes] = {}
        self.timers: dict[str, Timer] = {}
        self.answers: dict[tuple[str, str], Record] = {}
        self.time_ms = 0
        self.chain = hashlib.sha256(b"arqon_room_v1").digest()
        self.entry: Record = {}
        self.asked: Record = {}

    def take(self, about: Record) -> None:
        """Another module applies what comes now."""
        self.guest = Guest(self.engine, about["module"], self)
        self.budget: int = about["fuel"] * UNITS_PER_FUEL

    def change(self, *sizes: int) -> None:
        """Takes what a change costs."""
        self.guest.charge(CHANGE + PER_BYTE * sum(sizes))

    def give(self, value: bytes | None) -> int:
        """Copies a value into memory that the reducer allocates."""
        return self.guest.give(value, len(value or b""))

    def room_field(self, which: int) -> int:
        asked = self.asked
        names = [asked["command"], "", asked["user_id"], asked["role"], self.room, asked["id"]]
        return self.give(asked["data"] if which == 1 else names[which].encode())

    def room_claim(self, at: int, size: int) -> int:
        name = self.guest.read(at, size)
        value = None if len(name) > 1_024 else self.asked["claims"].get(name.decode())
        return self.give(None if value is None else value.encode())

    def room_now(self) -> int:
        return self.time_ms

    def room_offset(self) -> int:
        return int(self.entry["offset"])

    def room_random(self) -> int:
        self.guest.charge(RANDOM)
        self.drawn += 1
        return random_number(
            base64.b64decode(self.entry["seed"]), self.entry["offset"], self.drawn - 1
        )

    def room_read(self, at: int, size: int) -> int:
        return self.give(self.draft.get(self.guest.read(at, size)))

    def room_write(self, key: int, key_size: int, value: int, size: int) -> None:
        self.change(key_size, size)
        self.write(self.guest.read(key, key_size), self.guest.read(value, size))

    def room_delete(self, at: int, size: int) -> None:
        self.change(size)
        self.write(self.guest.read(at, size), None)

    def write(self, key: bytes, value: bytes | None) -> None:
        """Deleting what is not there changes nothing."""
        if value is not None:
            self.draft[key] = value
        elif self.draft.pop(key, None) is None:
            return
        self.changes[key] = value

    def room_scan(self, at: int, size: int, after: int, after_size: int, most: int) -> int:
        prefix, above = self.guest.read(at, size), self.guest.read(after, after_size)
        packed = b""
        for key in sorted(self.draft):
            if not key.startswith(prefix) or (after_size > 0 and key <= above):
                continue
            self.guest.charge(SCAN_ENTRY)
            more = run_of(key) + run_of(self.draft[key])
            if packed and len(packed) + len(more) > 65_536:
                break
            packed += more
            most -= 1
            if most == 0:
                break
        return self.give(packed)

    def room_emit(self, *where: int) -> None:
        self.change(where[1], where[3], where[5])
        kind, data, to = (self.guest.read(*where[at : at + 2]) for at in (0, 2, 4))
        self.events.append((kind.decode(), data, to.decode()))

    def room_answer(self, at: int, size: int) -> None:
        self.change(size)
        self.reply = self.guest.read(at, size)

    def room_schedule(self, *where: int) -> None:
        self.change(where[1], where[4], where[6])
        key, command, data = (self.guest.read(*where[at : at + 2]) for at in (0, 3, 5))
        self.waiting[key.decode()] = (where[2], command.decode(), data)
        self.scheduled[key.decode()] = self.waiting[key.decode()]

    def room_unschedule(self, at: int, size: int) -> None:
        self.change(size)
        key = self.guest.read(at, size).decode()
        if self.waiting.pop(key, None) is not None:
            self.scheduled[key] = None

    def room_log(self, _level: int, _at: int, _size: int) -> None:
        pass

    def room_reject(self, code: int, at: int, size: int) -> None:
        self.rejected = (code, self.guest.read(at, size).decode())
        raise Rejected

    def run(self) -> Record:
        """Runs the reducer. These examples never fault."""
        is_migration = self.entry["kind"] == "migrate"
        budget = self.budget * (MIGRATION if is_migration else 1)
        self.guest.start()
        self.draft = dict(self.values)
        self.waiting = dict(self.timers)
        self.changes: dict[bytes, bytes | None] = {}
        self.scheduled: dict[str, Timer | None] = {}
        self.events: list[tuple[str, bytes, str]] = []
        self.reply = b""
        self.drawn = 0
        function = "arqon_migrate" if is_migration else "arqon_apply"
        result, self.units = self.guest.call(function, budget)
        if result is None:
            self.changes, self.scheduled, self.events = {}, {}, []
            code, reason = self.rejected
            return {"kind": "rejected", "code": code, "reason": reason, "answer": b""}
        assert result == 0
        self.values, self.timers = self.draft, self.waiting
        return {"kind": "applied", "code": 0, "reason": "", "answer": self.reply}

    def decide(self) -> tuple[Record, int]:
        """What an entry comes to, and which one it repeats."""
        entry = self.entry
        self.changes, self.scheduled, self.events, self.units = {}, {}, [], 0
        if entry["kind"] == "timer":
            # The log of a run has timers only when they are due.
            at_ms, command, data = self.timers.pop(entry["key"])
            assert at_ms <= self.time_ms
            nobody: Record = {"user_id": "", "role": "timer", "id": "", "claims": {}}
            self.asked = {"command": command, "data": data, **nobody}
            return self.run(), 0
        if entry["kind"] == "migrate":
            deploy: Record = {"user_id": "", "role": "deploy", "id": "", "claims": {}}
            self.asked = {"command": "migrate", "data": entry["from"].encode(), **deploy}
            return self.run(), 0
        self.asked = {**entry, "data": base64.b64decode(entry["data"])}
        key = (entry["user_id"], entry["id"])
        if entry["id"] and key in self.answers:
            known = self.answers[key]
            return known, known["offset"]
        outcome = self.run()
        if entry["id"]:
            self.answers[key] = {**outcome, "offset": entry["offset"]}
            if len(self.answers) > REMEMBERED:
                # A dict keeps the order in which its keys came.
                del self.answers[next(iter(self.answers))]
        return outcome, 0

    def apply(self, entry: Record) -> Record:
        """Applies an entry, and says what a run tells."""
        self.entry = entry
        self.time_ms = max(self.time_ms, entry["time_ms"])
        outcome, repeats = self.decide()
        self.chain = hashlib.sha256(self.written(outcome, repeats)).digest()
        return {
            **{name: outcome[name] for name in ("kind", "code", "reason")},
            "answer": base64.b64encode(outcome["answer"]).decode(),
            "events": [
                [kind, base64.b64encode(data).decode(), to] for kind, data, to in self.events
            ],
            "units": self.units,
            "chain": self.chain.hex(),
        }

    def written(self, outcome: Record, repeats: int) -> bytes:
        """What the digest after an entry is made of."""
        entry = self.entry
        parts = [self.chain, i64(entry["offset"]), i64(self.time_ms)]
        parts += [run_of(base64.b64decode(entry["seed"])), text(entry["kind"])]
        if entry["kind"] == "timer":
            parts.append(text(entry["key"]))
        elif entry["kind"] == "migrate":
            parts += [text(entry["from"]), i64(entry["deploy"])]
        else:
            parts += [text(entry["command"]), run_of(base64.b64decode(entry["data"]))]
            parts += [text(entry[name]) for name in ("id", "user_id", "role")]
            parts.append(u32(len(entry["claims"])))
            for name in sorted(entry["claims"]):
                parts += [text(name), text(entry["claims"][name])]
        parts += [text(outcome["kind"]), u32(outcome["code"]), text(outcome["reason"])]
        parts += [run_of(outcome["answer"]), i64(repeats), u32(len(self.events))]
        for kind, data, to in self.events:
            parts += [text(kind), run_of(data), text(to)]
        parts.append(u32(len(self.changes)))
        for key in sorted(self.changes):
            value = self.changes[key]
            parts += [run_of(key), u32(0 if value is None else 1), run_of(value or b"")]
        parts.append(u32(len(self.scheduled)))
        for name in sorted(self.scheduled):
            timer = self.scheduled[name]
            parts += [text(name), u32(0 if timer is None else 1)]
            if timer is not None:
                parts += [i64(timer[0]), text(timer[1]), run_of(timer[2])]
        return b"".join(parts)

    def state(self) -> str:
        """The digest of the values."""
        parts = [u32(len(self.values))]
        for key in sorted(self.values):
            parts += [run_of(key), run_of(self.values[key])]
        return hashlib.sha256(b"".join(parts)).hexdigest()


@pytest.fixture(scope="module")
def lines() -> list[Record]:
    """Modules, each with the entries of its log behind it."""
    printed = by_us("room_runs.ts", str(COMMANDS), flags=["--allow-read", "--allow-env"])
    return [json.loads(line) for line in printed]


def test_wasmtime_computes_the_same_rooms(lines: list[Record]) -> None:
    room: Room | None = None
    kinds: list[str] = []
    timers = repeated = 0
    for line in lines:
        if "module" in line:
            room = Room(line)
            continue
        assert room is not None
        if "state" in line:
            assert room.state() == line["state"]
            drawn = [str(random_number(bytes(16), 7, at)) for at in (0, 1)]
            assert drawn == line["random"]
            continue
        outcome = room.apply(line["entry"])
        assert outcome == {name: line[name] for name in outcome}, line["entry"]["offset"]
        kinds.append(outcome["kind"])
        timers += line["entry"]["kind"] == "timer"
        repeated += line["units"] == 0
    assert kinds.count("applied") > 100
    assert kinds.count("rejected") > 100
    assert timers > 0
    assert repeated > 10


def fold(path: Path) -> Record:
    """What the log of a room comes to: a file with a line for each module and for each entry."""
    with path.open() as log:
        room = Room(json.loads(next(log)))
        entries = 0
        for line in map(json.loads, log):
            if "module" in line:
                room.take(line)
                continue
            room.apply(line)
            entries += 1
    return {"entries": entries, "chain": room.chain.hex(), "values": room.state()}


def test_the_log_of_a_brain_is_the_room_that_it_had(tmp_path: Path) -> None:
    path = tmp_path / "room.ndjson"
    flags = ["--allow-read", "--allow-env", "--allow-sys", "--allow-net", "--allow-write"]
    parsed = json.loads("".join(by_us("room_log.ts", str(path), flags=flags)))
    assert parsed["entries"] > REMEMBERED
    kinds = [json.loads(line).get("kind") for line in path.read_text().splitlines()]
    assert kinds.count("migrate") == 1
    assert kinds.count(None) == 3, "the previous module, that one, and the previous one again"
    assert fold(path) == parsed


def test_reducers_in_both_languages_do_the_same(lines: list[Record]) -> None:
    runs: dict[str, list[Record]] = {}
    name = ""
    for line in lines:
        name = line.get("name", name)
        if "kind" in line:
            runs.setdefault(name, []).append({**line, "units": 0})
    assert len(runs["reducers/counter"]) == COMMANDS
    assert runs["reducers/counter"] == runs["reducers/counter_rust"]
    assert runs["reducers/quota"] == runs["reducers/quota_rust"]


if __name__ == "__main__":
    print(json.dumps(fold(Path(sys.argv[1]))))
