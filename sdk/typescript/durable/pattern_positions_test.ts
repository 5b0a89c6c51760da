/** Positions of patterns: which messages count, and what a SUB asks for. */
import assert from "node:assert/strict";
import { gapSignal } from "@arqon/proto";
import { PatternPositions } from "./position.ts";

const FRAME_BYTES = 262_144;

function asked(it: PatternPositions, stands = false, own = new Set<string>(), bytes = FRAME_BYTES) {
  const { positions, isTooMany } = it.ask(stands, own, { max_frame_bytes: bytes });
  return { rooms: JSON.parse(new TextDecoder().decode(positions)), isTooMany };
}

const hear = (it: PatternPositions, room: string, offset: number) =>
  it.note({ room, offset, sender: "ann", signal: undefined });

function begun(): PatternPositions {
  const it = new PatternPositions();
  assert.deepEqual(it.answered({ epoch: "e", positions: {} }), []);
  hear(it, "log-1", 5);
  return it;
}

Deno.test("an offset counts under the known epoch; without one, in the answer too, it is no position", () => {
  const it = new PatternPositions();
  hear(it, "log-1", 6);
  assert.deepEqual(asked(it).rooms, {});
  it.answered({ epoch: "e" });
  hear(it, "log-1", 7);
  it.answered({ epoch: "f" });
  hear(it, "log-2", 1);
  assert.deepEqual(asked(it).rooms, { f: { "log-2": 1 }, e: { "log-1": 7 } });
  it.answered(undefined);
  hear(it, "log-2", 2);
  assert.deepEqual(asked(it, false, new Set(["log-1"])).rooms, { f: { "log-2": 1 } });
});

Deno.test("a SUB of an active subscription requests the epoch only; another log ends a position", () => {
  const it = begun();
  assert.deepEqual(asked(it, true).rooms, {});
  const gap = { room: "log-1", offset: 0, signal: gapSignal("log-1", "epoch-changed") };
  it.note({ ...gap, sender: "mallory" });
  assert.deepEqual(asked(it).rooms, { e: { "log-1": 5 } });
  it.note({ ...gap, sender: "" });
  assert.deepEqual(asked(it).rooms, {});
});

Deno.test("rooms that do not continue are reported, and continue from the answer's offset", () => {
  const it = begun();
  hear(it, "log-2", 3);
  hear(it, "log-3", 4);
  const positions = {
    "log-1": { recovered: true },
    "log-2": { offset: 9 },
    "log-3": { reason: "x" },
  };
  assert.deepEqual(it.answered({ epoch: "f", positions }), [
    { room: "log-2", reason: "reconnect" },
    { room: "log-3", reason: "x" },
  ]);
  assert.deepEqual(asked(it).rooms, { f: { "log-2": 9 }, e: { "log-1": 5 } });
});

Deno.test("positions are limited to a frame of the Shield, to the 1,000 newest ones, and after a refusal", () => {
  const it = begun();
  for (let at = 0; at < 2_000; at++) hear(it, `log-${at}`, 1);
  const { rooms: { e }, isTooMany } = asked(it);
  assert.deepEqual([Object.keys(e).length, "log-1999" in e, "log-999" in e], [1_000, true, false]);
  const names = Object.keys(asked(it, false, new Set(), 4_096).rooms.e);
  assert.ok(names.length > 50 && names.length < 100 && names.includes("log-1999"));
  assert.deepEqual([isTooMany("not-granted"), isTooMany("too-many-rooms")], [false, true]);
  assert.equal(Object.keys(asked(it).rooms.e).length, 500);
  assert.equal(asked(it, true).isTooMany("too-many-rooms"), false, "it had none");
});
