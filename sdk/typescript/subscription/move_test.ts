// Two connections that deliver one stream, split and interleaved in every way.
import assert from "node:assert/strict";
import fc from "fast-check";
import { type PlainEnvelope, readEnvelope, writeEnvelope } from "@arqon/proto";
import { AHEAD_MAX, HELD_MAX } from "../wire/bounds.ts";
import { copyKey, Move } from "./room_entry.ts";

function message(twist: string | undefined, more: Partial<PlainEnvelope> = {}): PlainEnvelope {
  const headers: Record<string, string> = twist === undefined ? {} : { "X-Twist-ID": twist };
  const event = { type: "t", data: new Uint8Array([1]) };
  const made = { tenant_id: "t", room_id: "r", timestamp_ms: 1, sender_id: "ann", headers, event };
  return { ...readEnvelope(writeEnvelope(made)), ...more };
}

/** Plays one stream over both connections; `fresh` is the first message that the new one delivers. */
function play(
  stream: readonly string[],
  fresh: number,
  barrier: number,
  turns: readonly boolean[],
) {
  const move = new Move();
  const got: string[] = [];
  const twist = (envelope: PlainEnvelope) => envelope.headers["X-Twist-ID"] as string;
  let old_at = 0;
  let new_at = fresh;
  let crossed = false;
  const hearOld = () => {
    const envelope = message(stream[old_at++]);
    if (move.hearOld(envelope)) got.push(twist(envelope));
    if (old_at === barrier) {
      crossed = true;
      got.push(...(move.cross() ?? []).map(twist));
    }
  };
  const hearNew = () => {
    const envelope = message(stream[new_at++]);
    if (move.hearNew(envelope)) got.push(twist(envelope));
  };
  for (const is_old of turns) {
    if (is_old && old_at < stream.length) hearOld();
    else if (new_at < stream.length) hearNew();
  }
  while (!crossed) hearOld();
  while (new_at < stream.length) hearNew();
  return got;
}

Deno.test("wherever the new connection begins and however both interleave: each once, in order", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 40 }),
      fc.nat(40),
      fc.nat(40),
      fc.array(fc.boolean(), { maxLength: 120 }),
      (length, first, later, turns) => {
        const stream = Array.from({ length }, (_, index) => String(index));
        // The old one is only dropped once it has delivered everything that the new one lacks.
        const fresh = Math.min(first, length);
        const barrier = Math.min(Math.max(fresh + later, 1), length);
        assert.deepEqual(play(stream, fresh, barrier, turns), stream);
      },
    ),
    { numRuns: 500 },
  );
});

Deno.test("two messages with the same id are two messages, on either connection", () => {
  const stream = ["a", "same", "same", "b"];
  for (let barrier = 1; barrier <= stream.length; barrier++) {
    assert.deepEqual(play(stream, 0, barrier, [true, false, true, false, false]), stream);
  }
});

Deno.test("a message without an id is identified by its content", () => {
  const one = message(undefined);
  assert.equal(copyKey(one), copyKey(message(undefined)));
  const others = [
    message(undefined, { timestamp_ms: 2 }),
    message(undefined, { message_id: "m" }),
    message(undefined, { sender_id: "bob" }),
    message(undefined, { event: { ...one.event!, type: "other" } }),
    message(undefined, { event: { ...one.event!, data: new Uint8Array([2]) } }),
    message("a"),
  ];
  assert.equal(new Set([one, ...others].map(copyKey)).size, others.length + 1);
  assert.notEqual(copyKey(message("a")), copyKey(message("a", { sender_id: "bob" })));
});

Deno.test("held messages are bounded: more are a reported loss", () => {
  const move = new Move();
  for (let n = 0; n < HELD_MAX; n++) move.hearNew(message(String(n)));
  assert.equal(move.hearNew(message("one too many")), false);
  assert.equal(move.cross(), undefined);
  assert.equal(move.hearNew(message("after")), true);
  const large = { type: "t", data: new Uint8Array(17_000_000), content_type: "", schema_id: "" };
  const bytes = new Move();
  for (const twist of ["a", "b"]) bytes.hearNew(message(twist, { event: large }));
  assert.equal(bytes.cross(), undefined);
});

Deno.test("remembered messages of the old connection are bounded: the oldest may repeat", () => {
  const move = new Move();
  for (let n = 0; n <= AHEAD_MAX; n++) move.hearOld(message(String(n)));
  assert.deepEqual(move.cross(), []);
  assert.equal(move.hearNew(message("1")), false);
  assert.equal(move.hearNew(message("0")), true);
  assert.equal(move.hearOld(message("late")), false);
});
