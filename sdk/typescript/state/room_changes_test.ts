// The changes that a loop receives, whatever the bus loses, repeats or reorders: each once and in order, or the whole
// state if changes are no longer stored.
import assert from "node:assert/strict";
import fc from "fast-check";
import { type PlainEnvelope, readEnvelope } from "@arqon/proto";
import { changeOf, RoomChanges } from "./state_repair.ts";
import type { RoomEvent } from "./room_state.ts";

const EPOCH = "7";
/** Events that the room of these tests remembers. */
const KEPT = 5;

const event = (version: number): RoomEvent => ({
  version,
  epoch: EPOCH,
  op: "set",
  key: "k",
  value: version,
  by: "ann",
  at_ms: version,
});

function envelope(version: number): PlainEnvelope {
  const data = new TextEncoder().encode(JSON.stringify(event(version)));
  const update = { type: "ROOM_UPDATE", data, content_type: "application/json", schema_id: "" };
  const empty = readEnvelope(new Uint8Array());
  return { ...empty, room_id: "lobby", message_id: `room:${EPOCH}:${version}`, event: update };
}

/** `room.get` with `events_after`, of a room at `version`. */
function read(version: number, after: number) {
  const events = Array.from(
    { length: Math.max(0, version - after) },
    (_, at) => event(after + 1 + at),
  );
  const head = { version, epoch: EPOCH };
  return events.length > KEPT ? { ...head, truncated: true as const } : { ...head, events };
}

function shown({ event }: PlainEnvelope): string {
  const { op, version } = JSON.parse(new TextDecoder().decode(event?.data));
  return op === "set" ? String(version) : `${op} ${version}`;
}

Deno.test("only messages of a Brain are changes", () => {
  const change = envelope(4);
  assert.deepEqual(changeOf(change), { epoch: EPOCH, version: 4 });
  assert.equal(changeOf({ ...change, sender_id: "backend" }), undefined);
  for (const message_id of ["", "room:7", "room:7:0", "room:7:x", "other:7:4"]) {
    assert.equal(changeOf({ ...change, message_id }), undefined, message_id);
  }
});

Deno.test("in any case the loop receives every change up to the last request, or the state", () => {
  // Versions as received; 0 is a request that is answered at once.
  const steps = fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 1, maxLength: 60 });
  fc.assert(fc.property(steps, (came) => {
    const changes = new RoomChanges("lobby");
    let highest = 0;
    let last = 0;
    const take = (taken: readonly PlainEnvelope[]) => {
      for (const text of taken.map(shown)) {
        const [version = 0, is_whole = false] = text.startsWith("state ")
          ? [Number(text.slice(6)), true]
          : [Number(text)];
        assert.ok(version > last, `${version} behind ${last}`);
        assert.ok(last === 0 || is_whole || version === last + 1, `${version} follows ${last}`);
        last = version;
      }
    };
    for (const version of came) {
      highest = Math.max(highest, version);
      if (version > 0) take(changes.hear(envelope(version), changeOf(envelope(version))!));
      else if (changes.last !== undefined) {
        const missed = changes.missed(read(highest, changes.last.version));
        const state = { version: highest, epoch: EPOCH, state: {} };
        take(missed ?? changes.replace(state, 1));
        assert.equal(last, highest);
        assert.equal(changes.has_hole, false);
      }
    }
  }));
});
