/**
 * The checker of plain rooms: correct recordings with lost answers, repeats under the same id, GAPs and
 * reconnects pass; each planted fault is found; a GAP excuses what it is near, and nothing else.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { createRandom } from "../presence_simulation/random.ts";
import type { Random } from "../presence_simulation/random.ts";
import { checkMessages } from "./message_checker.ts";
import { MESSAGE_FAULT_INJECTORS } from "./message_plant.ts";
import type { Attempt, MessageRecording, PlainPublish, PlainSight } from "./message_recording.ts";

const TENANTS = ["acme", "zeta"];
const STEP_MS = 100;

/** One room's messages in the order in which they are delivered, and its listeners. */
function makeRoom(random: Random, tenant_id: string, room_id: string, first: number) {
  const stream: PlainPublish[] = [];
  for (let count = 0; count < random.int(20, 60); count++) {
    const connection = first + random.int(0, 1);
    const sent_ms = (count + 1) * STEP_MS;
    const outcome = random.chance(0.8) ? "acknowledged" as const : "unknown" as const;
    const attempt = (): Attempt => ({ connection, order: count, sent_ms, outcome });
    const attempts = random.chance(0.1) ? [{ ...attempt(), outcome: "unknown" as const }] : [];
    const message_id = `${tenant_id}/${room_id}/${count}`;
    stream.push({ tenant_id, room_id, message_id, attempts: [...attempts, attempt()] });
  }
  const listeners = Array.from({ length: 3 }, (_, index) => (
    { name: `l${index}`, tenant_id, room_id, sights: listen(random, stream) }
  ));
  return { publishes: stream, listeners };
}

function listen(random: Random, stream: readonly PlainPublish[]): PlainSight[] {
  const sights: PlainSight[] = [{ kind: "subscribed", at_ms: 0 }];
  let lost = false;
  for (const { message_id, attempts } of stream) {
    const at_ms = attempts[0]!.sent_ms + 5;
    const deed = random.next();
    if (deed < 0.02) {
      sights.push({ kind: "disconnected", at_ms: at_ms - 5 });
      sights.push({ kind: "subscribed", at_ms: at_ms + 1 });
    } else if (deed < 0.05) lost = true;
    else {
      if (lost) sights.push({ kind: "gap", at_ms, reason: "reconnect" });
      sights.push({ kind: "message", at_ms, message_id });
      lost = false;
    }
  }
  if (lost) sights.push({ kind: "gap", at_ms: 1e6, reason: "reconnect" });
  return sights;
}

function makeRecording(seed: number): MessageRecording {
  const random = createRandom(seed);
  const rooms = TENANTS.flatMap((tenant_id, tenant) =>
    ["r0", "r1"].map((room_id, room) =>
      makeRoom(random, tenant_id, room_id, tenant * 10 + room * 2)
    )
  );
  return {
    publishes: rooms.flatMap(({ publishes }) => publishes),
    listeners: rooms.flatMap(({ listeners }) => listeners),
  };
}

Deno.test("nothing is found in a correct recording", () => {
  fc.assert(fc.property(fc.nat(), (seed) => {
    const { findings, figures } = checkMessages(makeRecording(seed));
    assert.deepEqual(findings, []);
    assert.ok(figures.due > 0 && figures.excused <= figures.due);
  }));
});

Deno.test("each planted fault is found", () => {
  const found = new Set<string>();
  for (let seed = 0; seed < 60; seed++) {
    const recording = makeRecording(seed);
    const quiet: MessageRecording = {
      ...recording,
      listeners: recording.listeners.map((listener) => (
        { ...listener, sights: wholeOf(recording, listener.tenant_id, listener.room_id) }
      )),
    };
    for (const [name, inject] of Object.entries(MESSAGE_FAULT_INJECTORS)) {
      // A GAP would excuse a message that is dropped.
      const wrong = inject(name === "dropOne" ? quiet : recording, createRandom(seed));
      if (wrong === undefined) continue;
      assert.ok(checkMessages(wrong).findings.length > 0, `${name}, seed ${seed}`);
      found.add(name);
    }
  }
  assert.deepEqual(found, new Set(Object.keys(MESSAGE_FAULT_INJECTORS)));
});

/** What a listener sees who loses nothing. */
function wholeOf(
  { publishes }: MessageRecording,
  tenant_id: string,
  room_id: string,
): PlainSight[] {
  const own = publishes.filter((one) => one.tenant_id === tenant_id && one.room_id === room_id);
  const messages = own.map(({ message_id, attempts }): PlainSight => (
    { kind: "message", at_ms: attempts[0]!.sent_ms + 5, message_id }
  ));
  return [{ kind: "subscribed", at_ms: 0 }, ...messages];
}

/** Five messages of one connection, a second apart; of the third it is not seen. */
function withHole(more: readonly PlainSight[]): MessageRecording {
  const [tenant_id, room_id] = ["acme", "r"];
  const publishes = [1, 2, 3, 4, 5].map((order): PlainPublish => {
    const attempt: Attempt = {
      connection: 1,
      order,
      sent_ms: order * 1_000,
      outcome: "acknowledged",
    };
    return { tenant_id, room_id, message_id: `m${order}`, attempts: [attempt] };
  });
  const seen = [1, 2, 4, 5].map((order): PlainSight => (
    { kind: "message", at_ms: order * 1_000, message_id: `m${order}` }
  ));
  const sights = [...seen, ...more].sort((one, other) => one.at_ms - other.at_ms);
  sights.unshift({ kind: "subscribed", at_ms: 0 });
  return { publishes, listeners: [{ name: "l", tenant_id, room_id, sights }] };
}

Deno.test("a GAP excuses what is missing at its place, and not what was lost before or after", () => {
  const gap = (at_ms: number): PlainSight => ({ kind: "gap", at_ms, reason: "reconnect" });
  const found = (...gaps: PlainSight[]) => checkMessages(withHole(gaps)).findings[0]?.kind;
  assert.equal(found(), "missing");
  assert.equal(checkMessages(withHole([gap(3_000)])).figures.excused, 1);
  assert.equal(found(gap(3_000)), undefined);
  assert.equal(found(gap(4_500)), "told-late");
  assert.equal(found(gap(1_500)), "missing");
  assert.equal(found(gap(2_500)), "missing", "from before it was sent");
  assert.equal(found(gap(30_000)), "missing");
});

Deno.test("nothing is due at a listener who had left, or who came later", () => {
  const gone: PlainSight = { kind: "disconnected", at_ms: 2_500 };
  const back: PlainSight = { kind: "subscribed", at_ms: 3_500 };
  const { findings, figures } = checkMessages(withHole([gone, back]));
  assert.deepEqual([findings, figures.due], [[], 3]);
});
