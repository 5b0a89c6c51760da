/** Idle rooms: packing and unpacking a state are inverse, and a large state is not packed. */
import assert from "node:assert/strict";
import { decodeSnapshot, encodeSnapshot } from "../state/snapshot.ts";
import { emptyRoom, type RoomState, tree } from "../state/room_state.ts";
import { utf8 } from "../testing/rooms.ts";
import { awakeState, restingState, snapshotOf } from "./reducer_thread.ts";

function stateWith(values: Readonly<Record<string, Uint8Array>>): RoomState {
  const empty = emptyRoom();
  const own = tree<string, Uint8Array>();
  let size_bytes = 0;
  for (const [key, value] of Object.entries(values)) {
    own.set(key, value);
    size_bytes += key.length + value.length;
  }
  const timers = tree<string, { at_ms: number; command: string; data: Uint8Array }>();
  timers.set("close", { at_ms: 7_000, command: "close", data: utf8("\u0000\u00ff") });
  return {
    ...empty,
    values: own,
    size_bytes,
    timers,
    offset: 4_294_967_297,
    time_ms: 1_800_000_000_000,
  };
}

Deno.test("a state that was swapped out is unchanged, byte for byte", () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, at) => at);
  const state = stateWith({ "\u00ff\u0000key": bytes, "": new Uint8Array() });
  const resting = restingState(state)!;
  assert.deepEqual([...snapshotOf(resting)], [...encodeSnapshot(state)]);
  assert.deepEqual(encodeSnapshot(awakeState(resting)), encodeSnapshot(state));
  assert.deepEqual(
    encodeSnapshot(awakeState(restingState(emptyRoom())!)),
    encodeSnapshot(emptyRoom()),
  );
});

Deno.test("a state that is slow to restore is not swapped out", () => {
  assert.equal(restingState(stateWith({ key: new Uint8Array(20_000) })), undefined);
  const many = Array.from({ length: 1_500 }, (_, at) => [`k${at}`, new Uint8Array(4)] as const);
  const state = stateWith(Object.fromEntries(many));
  assert.ok(state.size_bytes < 16_384, "what keys and values take besides counts, too");
  assert.equal(restingState(state), undefined);
  assert.deepEqual(decodeSnapshot(encodeSnapshot(state)).size_bytes, state.size_bytes);
});
