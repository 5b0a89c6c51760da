/**
 * Deltas of patterns on a real bus, for hand-written clients that decode by the npm package. Rooms with and without
 * filters: the readers `delta` and `delta_filter` of `tests/model`.
 */
import { decode } from "@ably/vcdiff-decoder";
import { applyDelta } from "fossil-delta";
import assert from "node:assert/strict";
import { adler32, decodeServerFrame, encodeSub, findData, Opcode, WireReader } from "@arqon/proto";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { ask, openBinary, openText, type RawClient } from "./peers/raw_client.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = `
[[rooms]]
room = "folded-*"
delta = "fossil"
${durableRooms("log-*", 'delta = "fossil"')}
`;

const LINES = Array.from({ length: 40 }, (_, n) => `line ${n} of the text`);
/** The data of message `n`: large, with small changes. */
const dataOf = (n: number) => ({
  n,
  lines: LINES.map((line, at) => at === n % 40 ? "é" + n : line),
});
const wholeOf = (n: number) => JSON.stringify(dataOf(n));

async function publish(bus: TestBus, room: string, numbers: readonly number[]): Promise<void> {
  using publisher = await openText(bus.url, await bus.tokenFor({ user: "writer" }));
  for (const n of numbers) {
    const headers = { "x-key": `k${n % 2}`, odd: String(n % 4 === 1) };
    await ask(publisher, { op: "pub", room, type: "tick", data: dataOf(n), headers });
  }
  await ask(publisher, { op: "pub", room, type: "end", data: {}, headers: { odd: "true" } });
}

interface DeltaHeader {
  readonly slot: number;
  readonly number: number;
  readonly base?: number;
  readonly checksum?: number;
}

/** The bytes of data that a receiver keeps, by room and slot. */
class Held {
  readonly #slots = new Map<string, { number: number; data: Uint8Array }>();
  diffs = 0;
  /** Bytes of diffs, and of the data that they represent. */
  bytes = { diffs: 0, data: 0 };

  unfold({ slot, number, base = 0, checksum }: DeltaHeader, data: Uint8Array, room = "") {
    const key = `${room} ${slot}`;
    const held = this.#slots.get(key);
    if (base !== 0) assert.equal(held?.number, base);
    const whole = base === 0
      ? data
      : data[0] === 0xd6
      ? new Uint8Array(decode(data, held!.data))
      : applyDelta(held!.data, data) as Uint8Array;
    if (base !== 0) {
      this.diffs++;
      this.bytes.diffs += data.length;
      this.bytes.data += whole.length;
      if (data[0] === 0xd6) assert.equal(checksum, adler32(whole));
    }
    this.#slots.set(key, { number, data: whole });
    return whole;
  }
}

/** The text of each message's data up to the end, for a text client. */
async function texts(client: RawClient, held: Held): Promise<string[]> {
  const found: string[] = [];
  for (;;) {
    const message = await client.json();
    if (message.op !== "msg") continue;
    if (message.type === "end") return found;
    const { delta, data } = message as { delta?: Parameters<Held["unfold"]>[0]; data: unknown };
    if (delta === undefined) found.push(JSON.stringify(data));
    else {
      const bytes = typeof data === "string"
        ? new TextEncoder().encode(data)
        : Uint8Array.fromBase64((data as { base64: string }).base64);
      found.push(new TextDecoder().decode(held.unfold(delta, bytes, message.room as string)));
    }
  }
}

/** The same for a binary client, from MSG and BATCH. */
async function binaries(client: RawClient, held: Held): Promise<string[]> {
  const found: string[] = [];
  for (;;) {
    const frame = await client.raw();
    assert.ok(typeof frame !== "string");
    const envelopes: Uint8Array[] = [];
    if (frame[0] === Opcode.MSG) envelopes.push(frame.subarray(1));
    else if (frame[0] === Opcode.BATCH) {
      const reader = new WireReader(frame.subarray(1));
      while (reader.pos < reader.end) envelopes.push(reader.view());
    }
    for (const envelope of envelopes) {
      const read = decodeServerFrame(new Uint8Array([Opcode.MSG, ...envelope]));
      if (read.kind === "msg" && read.envelope.event?.type === "end") return found;
      const span = findData(envelope)!;
      const data = envelope.slice(span.start, span.end);
      const whole = span.delta === undefined ? data : held.unfold(span.delta, data, span.room_id);
      found.push(new TextDecoder().decode(whole));
    }
  }
}

Deno.test("a pattern gets diffs of each of its rooms if the client stores enough bytes; otherwise only of the latest", async () => {
  await using bus = await startLocalBus(CONFIG);
  const token = await bus.tokenFor({ user: "reader" });
  const room = "folded-*";
  const bytes = 4_000_000;
  using text = await openText(bus.url, token);
  await ask(text, { op: "sub", room, delta: true, delta_bytes: bytes });
  const openWith = async (delta_bytes: number) => {
    const client = await openBinary(bus.url, token);
    const deltas = { delta: true, delta_bytes, vcdiff: true };
    client.send(encodeSub({ room_id: room, request_id: 1, batch: true, ...deltas }));
    assert.equal((await client.frame()).kind, "ack");
    return client;
  };
  using binary = await openWith(bytes);
  // Data of one and a half messages.
  using small = await openWith(Math.floor(1.5 * wholeOf(0).length));
  using old = await openText(bus.url, token);
  await ask(old, { op: "sub", room, delta: true });
  const rooms = ["folded-1", "folded-2", "folded-1", "folded-2"];
  const held = { text: new Held(), binary: new Held(), small: new Held(), old: new Held() };
  for (const [at, one] of rooms.entries()) {
    const numbers = [4 * at, 4 * at + 2];
    await publish(bus, one, numbers);
    const expected = numbers.map(wholeOf);
    assert.deepEqual(await texts(text, held.text), expected);
    assert.deepEqual(await binaries(binary, held.binary), expected);
    assert.deepEqual(await binaries(small, held.small), expected);
    assert.deepEqual(await texts(old, held.old), expected);
  }
  // All but the first of each room; with one slot only, the second of each run.
  const { diffs } = held.binary;
  assert.deepEqual([held.text.diffs, diffs, held.small.diffs, held.old.diffs], [6, 6, 4, 0]);
  assert.ok(held.binary.bytes.diffs < 0.2 * held.binary.bytes.data);
  assert.ok(held.binary.bytes.diffs < held.text.bytes.diffs);
  // The repeated SUB begins with the full data, in every room.
  await ask(text, { op: "sub", room, delta: true, delta_bytes: bytes });
  await publish(bus, "folded-1", [20, 22]);
  assert.deepEqual(await texts(text, held.text), [20, 22].map(wholeOf));
  assert.equal(held.text.diffs, 7);
});

Deno.test("a room's own subscription and its pattern count together, and one continues when the other ends", async () => {
  await using bus = await startLocalBus(CONFIG);
  using client = await openText(bus.url, await bus.tokenFor({ user: "reader" }));
  const options = { delta: true, delta_bytes: 100_000 };
  const held = new Held();
  await ask(client, { op: "sub", room: "folded-*", ...options });
  for (const op of ["sub", "unsub"]) {
    await publish(bus, "folded-1", [0, 2]);
    assert.deepEqual(await texts(client, held), [0, 2].map(wholeOf));
    await ask(client, { op, room: "folded-1", ...(op === "sub" && options) });
  }
  await publish(bus, "folded-1", [4, 6]);
  assert.deepEqual(await texts(client, held), [4, 6].map(wholeOf));
  assert.equal(held.diffs, 3);
});
