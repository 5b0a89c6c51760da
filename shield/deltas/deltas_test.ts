/**
 * Deltas over any sequence of messages: receivers reconstruct the publisher's bytes, whichever messages they miss. The
 * receivers decode with the npm package. `deno task test:deltas` runs it with a million messages.
 */
import { decode } from "@ably/vcdiff-decoder";
import { applyDelta } from "fossil-delta";
import fc from "fast-check";
import assert from "node:assert/strict";
import { adler32, findData, Opcode, writeEnvelope } from "@arqon/proto";
import { DeltaBases, DeltaCounts, KeptBases, type RoomBases } from "./deltas.ts";

const LIMITS = {
  delta_bases_per_room: 4,
  delta_bytes: 6_000,
  delta_message_bytes: 2_000,
  delta_bytes_per_connection: 1_000,
};

const frameFor = (key: string, data: Uint8Array) =>
  writeEnvelope(
    { room_id: "a", headers: { "x-key": key }, event: { type: "t", data } },
    Opcode.MSG,
  );

const outgoing = (frame: Uint8Array) => ({
  envelope: frame.subarray(1),
  offset: 0,
  origin: undefined,
});

interface Room {
  room_class: { delta: "none" | "fossil" };
  bases: RoomBases | undefined;
}

const room = (): Room => ({ room_class: { delta: "fossil" }, bases: undefined });

/** The bases that a client keeps, by room and slot; with a limit, only the latest. */
class Held {
  readonly bytes_max: number;
  readonly all = new Map<string, { number: number; data: Uint8Array }>();

  constructor(bytes_max = Infinity) {
    this.bytes_max = bytes_max;
  }

  set(key: string, number: number, data: Uint8Array): void {
    this.all.delete(key);
    this.all.set(key, { number, data });
    const size = () => [...this.all.values()].reduce((sum, { data }) => sum + data.length + 256, 0);
    for (const oldest of this.all.keys()) {
      if (size() <= this.bytes_max) break;
      this.all.delete(oldest);
    }
  }
}

/** A client that follows `docs/deltas.md`. */
class Reader {
  bases: number[] = [];
  readonly text = false;
  readonly vcdiff: boolean;
  readonly kept: KeptBases | undefined;
  readonly room_name: string;
  is_direct = true;
  readonly #held: Held;

  constructor(
    { vcdiff = false, kept, held = new Held(), room_name = "a" }: Partial<{
      vcdiff: boolean;
      kept: KeptBases;
      held: Held;
      room_name: string;
    }> = {},
  ) {
    this.vcdiff = vcdiff;
    this.kept = kept;
    this.#held = held;
    this.room_name = room_name;
  }

  get deltas(): this {
    return this;
  }

  read(frame: Uint8Array): Uint8Array {
    const envelope = frame.subarray(1);
    const { start, end, delta } = findData(envelope)!;
    const data = envelope.slice(start, end);
    if (delta === undefined) return data;
    const key = `${this.room_name} ${delta.slot}`;
    const held = this.#held.all.get(key);
    if (delta.base !== 0) assert.equal(held?.number, delta.base);
    const apply = this.vcdiff
      ? (base: Uint8Array, diff: Uint8Array) => new Uint8Array(decode(diff, base))
      : applyDelta as (base: Uint8Array, diff: Uint8Array) => Uint8Array;
    const whole = delta.base === 0 ? data : apply(held!.data, data);
    if (this.vcdiff && delta.base !== 0) assert.equal(delta.checksum, adler32(whole));
    this.#held.set(key, delta.number, whole);
    return whole;
  }
}

/** Data that changes a little from one message to the next, and sometimes completely. */
function next(before: Uint8Array, seed: number): Uint8Array {
  if (seed % 11 === 0) return new Uint8Array(1 + seed % 2_100).fill(seed & 255);
  const data = before.slice(0, Math.max(1, before.length - (seed % 3)));
  data[seed % data.length] = seed & 255;
  return seed % 5 === 0 ? new Uint8Array([...data, seed & 255, ...data.subarray(0, 9)]) : data;
}

/** One client of two rooms that declares `bytes_max` kept bytes; it may keep `more` than it declares. */
function pairOfRooms(bytes_max: number, more: number, vcdiff: boolean): [Reader, Reader] {
  const kept = new KeptBases(bytes_max, () => {});
  const held = new Held(bytes_max + more);
  const of = (room_name: string) => new Reader({ vcdiff, kept, held, room_name });
  return [of("a"), of("b")];
}

/** Sends one message to readers; some do not receive it, and some receive it later or never. */
function send(
  deltas: DeltaBases,
  to: Room,
  readers: readonly Reader[],
  { key, data, seed }: { key: string; data: Uint8Array; seed: number },
): void {
  const frame = frameFor(key, data);
  const message = deltas.of(to, outgoing(frame));
  readers.forEach((reader, index) => {
    const fate = (seed >>> (2 * index)) & 7;
    if (fate === 0) return; // A filter excludes it.
    reader.is_direct = fate > 2;
    const folded = message?.frameFor(reader, true);
    if (!reader.is_direct) return assert.equal(folded, undefined);
    const got = folded === undefined ? frame : folded.frame as Uint8Array;
    assert.equal(folded?.size_bytes ?? frame.length, got.length);
    assert.deepEqual(reader.read(got), data);
  });
}

const sum = (deltas: DeltaBases, at: Room, base_bytes: number) => {
  assert.ok(base_bytes <= LIMITS.delta_bytes, `${base_bytes} bytes`);
  assert.ok((at.bases?.slots.size ?? 0) <= LIMITS.delta_bases_per_room);
  assert.ok((at.bases?.next ?? 0) <= LIMITS.delta_bases_per_room);
  return deltas;
};

Deno.test("any filters, drops and keys: every receiver's bytes are the publisher's, within the bounds", () => {
  const messages = Number(Deno.env.get("DELTA_MESSAGES") ?? 3_000);
  const step = fc.record({ key: fc.nat(6), seed: fc.nat(), gap: fc.nat(60) });
  const run = fc.array(step, { minLength: 30, maxLength: 30, size: "max" });
  fc.assert(
    fc.property(run, (steps) => {
      const stats = new DeltaCounts();
      const deltas = new DeltaBases(LIMITS, stats);
      const one = room();
      const other = room();
      const pairs = [pairOfRooms(1_500, 0, true), pairOfRooms(2_500, 700, false)];
      const readers = [false, true, true].map((vcdiff) => new Reader({ vcdiff }))
        .concat(pairs.map(([first]) => first));
      const others = pairs.map(([, second]) => second).concat(new Reader());
      const last = new Map<number, Uint8Array>();
      for (const { key, seed, gap } of steps) {
        const data = next(last.get(key) ?? new Uint8Array(400).fill(key), seed);
        last.set(key, data);
        send(deltas, one, readers, { key: `k${key}`, data, seed });
        send(deltas, other, others, { key: `k${key % 2}`, data, seed: seed >>> 3 });
        if (gap === 0) deltas.forget(one);
        // A new SUB begins with whole data, and both sides count the kept bases again.
        if (gap < 3) readers.at(-1 - gap)!.bases = [];
        sum(deltas, one, stats.base_bytes);
      }
      deltas.forget(one);
      deltas.forget(other);
      assert.equal(stats.base_bytes, 0);
    }),
    { numRuns: Math.ceil(messages / 30) },
  );
});

Deno.test("receivers that hold the same data share one diff, and a newcomer gets it whole", () => {
  const stats = new DeltaCounts();
  const deltas = new DeltaBases({ ...LIMITS, delta_bytes: 60_000 }, stats);
  const at = room();
  const a = new Reader();
  const b = new Reader();
  const late = new Reader();
  const data = new TextEncoder().encode("0123456789abcdefghij ".repeat(20));
  const first = deltas.of(at, outgoing(frameFor("k", data)))!;
  assert.equal(first.frameFor(a, false), first.frameFor(b, false));
  const changed = data.slice();
  changed[200] = 0;
  const second = deltas.of(at, outgoing(frameFor("k", changed)))!;
  const diff = second.frameFor(a, false)!;
  assert.equal(second.frameFor(b, false), diff);
  assert.ok(diff.size_bytes < 110, `${diff.size_bytes} bytes`);
  const whole = second.frameFor(late, false)!;
  assert.ok(whole.size_bytes > data.length);
  assert.deepEqual(late.read(whole.frame as Uint8Array), changed);
  assert.deepEqual(stats.forms, { diff: 2, whole: 3 });
  assert.ok(stats.saved_bytes > 2 * 350);
});

Deno.test("no diff of what the bus or a backend says, of signals, small data, or in a class without", () => {
  const deltas = new DeltaBases(LIMITS, new DeltaCounts());
  const data = new Uint8Array(100);
  const sent = outgoing(frameFor("k", data));
  assert.equal(deltas.of(room(), { ...sent, is_own: true }), undefined);
  assert.equal(deltas.of({ room_class: { delta: "none" }, bases: undefined }, sent), undefined);
  const frame = (bytes: Uint8Array) =>
    deltas.of(room(), outgoing(bytes))!.frameFor(new Reader(), false);
  assert.ok(frame(frameFor("k", data)));
  assert.equal(frame(frameFor("k", data.subarray(0, 20))), undefined);
  assert.equal(frame(frameFor("k", new Uint8Array(3_000))), undefined);
  assert.equal(
    frame(writeEnvelope({ room_id: "a", signal: { kind: "GAP" } }, Opcode.MSG)),
    undefined,
  );
});
