/**
 * A backlog without a socket: dropped, replaced and refused messages, and those that never are. A short model predicts
 * what must remain of random traffic.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Backlog, type RoomMessage } from "./backlog.ts";
import type { Frame } from "./frame_bytes.ts";
import { createStats } from "../stats/stats.ts";

const GAP_BYTES = 8;

/** A message of 10 bytes or more that shows which one it is. */
function named(name: string, size_bytes = 10): Frame {
  return name.padEnd(size_bytes, ".");
}

function of(
  room_id: string,
  slow_reader: RoomMessage["slow_reader"],
  key = "k",
  durable = false,
): RoomMessage {
  const gap = () => `GAP ${room_id}`.padEnd(GAP_BYTES);
  return { room_id, pattern: "*", slow_reader, durable, position: 0, key: () => key, gap };
}

function backlog(bounds: { unsent_bytes_max?: number; room_bytes_max?: number } = {}) {
  const stats = createStats();
  /** Counted as delivered beyond the sender's own counts. */
  const counted = { messages: 0, bytes: 0 };
  const queue = new Backlog({
    stats,
    count(_, size_bytes, by) {
      counted.messages += by;
      counted.bytes += by * size_bytes;
    },
    text: true,
    unsent_bytes_max: 1_000,
    room_bytes_max: 30,
    ...bounds,
  });
  const drain = () => {
    const frames: string[] = [];
    for (let frame = queue.shift(); frame !== undefined; frame = queue.shift()) {
      frames.push(String(frame).replace(/\.*$/, "").trim());
    }
    return frames;
  };
  return { queue, stats, drain, counted };
}

Deno.test("drop-oldest leaves out the oldest messages of the room, with one GAP in their place", () => {
  const { queue, stats, drain } = backlog();
  const a = of("a", "drop-oldest");
  queue.push(named("ack 1"), undefined, 0);
  for (const name of ["a1", "a2"]) queue.push(named(name), a, 0);
  queue.push(named("ack 2"), undefined, 0);
  for (const name of ["a3", "a4", "a5"]) queue.push(named(name), a, 0);
  assert.deepEqual(stats.slow_reader, { disconnected: 0, dropped: 2, conflated: 0 });
  assert.deepEqual(drain(), ["ack 1", "GAP a", "ack 2", "a3", "a4", "a5"]);
  assert.equal(stats.unsent_bytes, 0);
});

Deno.test("queued messages of a room that the client has left are left out, and not counted as delivered", () => {
  const { queue, stats, drain, counted } = backlog();
  const a = of("a", "drop-oldest");
  const b = of("b", "drop-oldest");
  for (const name of ["a1", "a2", "a3", "a4"]) queue.push(named(name), a, 0);
  for (const name of ["b1", "b2"]) queue.push(named(name), b, 0);
  assert.equal(queue.shift(), "GAP a   ");
  queue.push(named("a5"), a, 0);
  queue.forget("a");
  queue.forget("never queued");
  assert.equal(queue.bytes, 20);
  queue.push(named("a6"), a, 0);
  assert.deepEqual(drain(), ["b1", "b2", "a6"]);
  assert.deepEqual([stats.unsent_bytes, stats.slow_reader.dropped], [0, 5]);
  assert.deepEqual(counted, { messages: -5, bytes: -50 });
});

Deno.test("a message without a key is never left out: it is refused if nothing else fits", () => {
  const { queue, stats, drain } = backlog({ unsent_bytes_max: 100 });
  const options = { ...of("a", "drop-oldest"), key: () => undefined };
  for (let count = 0; count < 10; count++) assert.ok(queue.push(named(`s${count}`), options, 0));
  assert.equal(queue.push(named("s10"), options, 0), false);
  assert.equal(stats.slow_reader.dropped, 0);
  assert.equal(drain().length, 10);
});

Deno.test("latest keeps the newest message of each key in the place of the oldest, without a GAP", () => {
  const { queue, stats, drain } = backlog();
  queue.push(named("x1"), of("a", "latest", "x"), 0);
  queue.push(named("y1"), of("a", "latest", "y"), 0);
  queue.push(named("x of b"), of("b", "latest", "x"), 0);
  queue.push(named("x2"), of("a", "latest", "x"), 0);
  queue.push(named("x3"), of("a", "latest", "x"), 0);
  assert.deepEqual(stats.slow_reader, { disconnected: 0, dropped: 0, conflated: 2 });
  assert.deepEqual(drain(), ["x3", "y1", "x of b"]);
  queue.push(named("x4"), of("a", "latest", "x"), 0);
  assert.deepEqual(drain(), ["x4"], "a sent message is not replaced");
});

Deno.test("latest in a durable room: there is a GAP at each jump of the offsets, one for neighbouring messages", () => {
  const { queue, drain } = backlog({ room_bytes_max: 200 });
  const push = (name: string) => queue.push(named(name), of("a", "latest", name[0], true), 0);
  for (const name of ["x1", "y2", "z3", "y4", "u5", "u6"]) push(name);
  assert.deepEqual(drain(), ["x1", "GAP a", "z3", "y4", "GAP a", "u6"]);
  for (const name of ["x1", "y2", "z3", "y4", "z5"]) push(name);
  assert.deepEqual(drain(), ["x1", "GAP a", "y4", "z5"], "2 and 3 are neighbours");
  for (const name of ["x1", "y2"]) push(name);
  assert.deepEqual([queue.shift(), queue.shift()], [named("x1"), named("y2")]);
  for (const name of ["x3", "x4"]) push(name);
  assert.deepEqual(drain(), ["GAP a", "x4"]);
});

Deno.test("latest with too many keys leaves out the oldest, with a GAP", () => {
  const { queue, stats, drain } = backlog();
  for (let key = 0; key < 5; key++) queue.push(named(`m${key}`), of("a", "latest", `k${key}`), 0);
  assert.equal(stats.slow_reader.dropped, 2);
  queue.push(named("m3 again", 12), of("a", "latest", "k3"), 0);
  assert.deepEqual(drain(), ["GAP a", "m4", "m3 again"], "a longer one costs the oldest too");
});

Deno.test("half of the limit is for messages that may not be left out", () => {
  const { queue, drain } = backlog({ unsent_bytes_max: 100, room_bytes_max: 90 });
  for (let count = 0; count < 50; count++) {
    for (const room of ["a", "b"]) queue.push(named(`${room}${count}`), of(room, "drop-oldest"), 0);
  }
  assert.ok(queue.bytes <= 50 + 2 * GAP_BYTES, `${queue.bytes} bytes`);
  for (let count = 0; count < 3; count++) assert.ok(queue.push(named("ack"), undefined, 0));
  assert.equal(drain().filter((frame) => frame === "ack").length, 3);
});

Deno.test("a message that does not fit beside messages of other rooms is itself left out", () => {
  const { queue, stats, drain } = backlog({ unsent_bytes_max: 100 });
  queue.push(named("disconnect", 85), undefined, 0);
  assert.ok(queue.push(named("a1", 20), of("a", "drop-oldest"), 0));
  assert.ok(queue.push(named("a2", 20), of("a", "drop-oldest"), 0));
  assert.equal(stats.slow_reader.dropped, 2);
  assert.deepEqual(drain(), ["disconnect", "GAP a"]);
  queue.push(named("disconnect", 95), undefined, 0);
  assert.equal(queue.push(named("a3"), of("a", "drop-oldest"), 0), false, "no place for a GAP");
});

Deno.test("bytes that the socket holds count", () => {
  const { queue } = backlog({ unsent_bytes_max: 100 });
  assert.ok(queue.push(named("a"), undefined, 90));
  assert.equal(queue.push(named("b"), undefined, 90), false);
});

interface Step {
  readonly kind: "ack" | "message" | "shift";
  readonly room: number;
  readonly key: number;
  readonly size: number;
}

const steps = fc.array(
  fc.record<Step>({
    kind: fc.constantFrom("ack", "message", "message", "message", "shift"),
    room: fc.integer({ min: 0, max: 2 }),
    key: fc.integer({ min: 0, max: 3 }),
    size: fc.integer({ min: 6, max: 40 }),
  }),
  { maxLength: 120, size: "max" },
);

/** Room 0 drops the oldest, 1 keeps the latest, 2 is durable and keeps the latest. */
function roomOf({ room, key }: Step): RoomMessage {
  return of(`r${room}`, room === 0 ? "drop-oldest" : "latest", String(key), room === 2);
}

Deno.test("for any traffic: the backlog is bounded, only droppable messages are lost, and each loss has a GAP", () => {
  fc.assert(fc.property(steps, (all) => {
    const { queue, stats, counted } = backlog({ unsent_bytes_max: 300, room_bytes_max: 60 });
    const sent: string[] = [];
    const got: string[] = [];
    const take = () => {
      const frame = queue.shift();
      if (frame !== undefined) got.push(String(frame).replace(/\.*$/, "").trim());
      return frame !== undefined;
    };
    for (const [index, step] of all.entries()) {
      if (step.kind === "shift") take();
      else {
        const message = step.kind === "ack" ? undefined : roomOf(step);
        const name = `${message?.room_id ?? "ack"}:${step.key}:${index}`;
        if (queue.push(named(name, Math.max(step.size, name.length)), message, 0)) sent.push(name);
        // The connection would end here.
        else break;
      }
      assert.ok(queue.bytes <= 300);
      assert.equal(stats.unsent_bytes, queue.bytes);
    }
    while (take());
    assert.equal(queue.bytes, 0);
    for (const room of ["ack", "r0", "r1", "r2"]) checkRoom(room, sent, got);
    const lost = sent.length - got.filter((name) => !name.startsWith("GAP")).length;
    const { dropped, conflated } = stats.slow_reader;
    assert.ok(lost === dropped + conflated || lost === dropped + conflated - 1);
    assert.equal(counted.messages + dropped + conflated, 0, "only sent messages are counted");
  }));
});

/**
 * In a durable room a GAP is exactly where messages are missing; there is a second one if the first had been sent
 * already.
 */
function checkJumps(sent: readonly string[], got: readonly string[]): void {
  let expected = 0;
  let has_gap = false;
  for (const name of got) {
    if (name[0] === "G") {
      has_gap = true;
      continue;
    }
    const place = sent.indexOf(name);
    assert.ok(place === expected || has_gap, `a silent jump before ${name} in ${got}`);
    assert.ok(
      place > expected || !has_gap,
      `a GAP before ${name} in ${got}, and nothing is missing`,
    );
    [expected, has_gap] = [place + 1, false];
  }
}

/** The messages of one room: a GAP before each missing one, unless a newer one of its key came. */
function checkRoom(room: string, all_sent: readonly string[], all_got: readonly string[]): void {
  const sent = all_sent.filter((name) => name.startsWith(`${room}:`));
  const got = all_got.filter((name) => name.startsWith(`${room}:`) || name === `GAP ${room}`);
  const came = new Set(got);
  assert.equal(
    came.size - (came.has(`GAP ${room}`) ? 1 : 0),
    got.filter((n) => n[0] !== "G").length,
  );
  if (room === "ack") return assert.deepEqual(got, sent);
  const number = (name: string) => Number(name.split(":")[2]);
  if (room === "r2") checkJumps(sent, got);
  if (room !== "r1") {
    const numbers = got.filter((name) => name[0] !== "G").map(number);
    assert.deepEqual(numbers, numbers.toSorted((a, b) => a - b), "in the order of sending");
  }
  for (const missing of sent.filter((name) => !came.has(name))) {
    const before = got.findIndex((name) => name[0] !== "G" && number(name) > number(missing));
    const gap_before = got.slice(0, before < 0 ? got.length : before).includes(`GAP ${room}`);
    const newer = got.some((name) =>
      name[0] !== "G" && name.split(":")[1] === missing.split(":")[1] &&
      number(name) > number(missing)
    );
    // If newer messages replace older ones, "before" has no meaning.
    const is_reported = room === "r1" ? newer || came.has(`GAP ${room}`) : gap_before;
    assert.ok(is_reported, `${missing} is missing in ${got}`);
  }
}
