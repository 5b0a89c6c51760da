/** Snapshots: a state has one encoding, and no other bytes decode. */
import assert from "node:assert/strict";
import { command, reducerOf, roomOf, utf8 } from "../testing/rooms.ts";
import { applyEntry } from "./fold.ts";
import { digestOf, emptyRoom, type RoomState } from "./room_state.ts";
import {
  decodeSnapshot,
  encodeSnapshot,
  packSnapshot,
  SnapshotError,
  unpackSnapshot,
} from "./snapshot.ts";

const busy = reducerOf((draft) => {
  draft.write(utf8(`key ${draft.offset}`), utf8(`value ${draft.offset}`));
  const at_ms = draft.time_ms + 1_000;
  draft.schedule(`k${draft.offset}`, { at_ms, command: "later", data: utf8("é") });
  draft.answer(utf8("done"));
});

function busyRoom(entries: number): RoomState {
  let state = emptyRoom();
  for (let offset = 1; offset <= entries; offset++) {
    state = applyEntry(state, command(offset, { id: `i${offset}` }), busy, roomOf()).state;
  }
  return state;
}

/** A body with its correct digest. */
const sealed = (body: Uint8Array) => Uint8Array.of(...body, ...digestOf(body));

Deno.test("a state is restored unchanged, also an empty one and one of many pages", () => {
  for (const entries of [0, 1, 40]) {
    const state = busyRoom(entries);
    const bytes = encodeSnapshot(state);
    const back = decodeSnapshot(bytes);
    assert.deepEqual(encodeSnapshot(back), bytes);
    assert.equal(back.size_bytes, state.size_bytes);
    assert.equal(back.remembered_bytes, state.remembered_bytes);
    assert.equal(back.offset, entries);
  }
});

Deno.test("a changed, missing or additional byte is refused, wherever it is", () => {
  const bytes = encodeSnapshot(busyRoom(2));
  for (let at = 0; at < bytes.length; at++) {
    const changed = bytes.slice();
    changed[at]! ^= 1;
    assert.throws(() => decodeSnapshot(changed), SnapshotError, `byte ${at}`);
    assert.throws(() => decodeSnapshot(bytes.subarray(0, at)), SnapshotError, `${at} bytes`);
  }
  assert.throws(() => decodeSnapshot(Uint8Array.of(...bytes, 0)), SnapshotError);
});

Deno.test("a snapshot with a right digest over what no room writes is refused", () => {
  const body = encodeSnapshot(busyRoom(2)).subarray(0, -32);
  assert.throws(() => decodeSnapshot(sealed(Uint8Array.of(...body, 0))), /1 bytes too many/);
  for (let at = 8; at < body.length; at++) {
    for (const byte of [0, 0xff]) {
      const changed = body.slice();
      changed[at] = byte;
      try {
        const state = decodeSnapshot(sealed(changed));
        assert.deepEqual(encodeSnapshot(state), sealed(changed), "accepted: then it is that state");
      } catch (error) {
        assert.ok(error instanceof SnapshotError, `byte ${at}: ${error}`);
      }
    }
  }
});

Deno.test("a snapshot is stored compressed, read back unchanged, and refused if it is truncated or changed", () => {
  const bytes = encodeSnapshot(busyRoom(2));
  const packed = packSnapshot(bytes);
  assert.ok(packed.length < bytes.length);
  assert.deepEqual(unpackSnapshot(packed), new Uint8Array(bytes));
  assert.deepEqual(unpackSnapshot(bytes), bytes, "as rooms were stored before");
  for (let at = 0; at < packed.length; at += 7) {
    assert.throws(() => decodeSnapshot(unpackSnapshot(packed.subarray(0, at))), SnapshotError);
    const changed = packed.slice();
    changed[at]! ^= 0x55;
    try {
      // Other encodings of the same content are refused.
      assert.deepEqual(encodeSnapshot(decodeSnapshot(unpackSnapshot(changed))), bytes);
    } catch (error) {
      assert.ok(error instanceof SnapshotError, `byte ${at}: ${error}`);
    }
  }
});
