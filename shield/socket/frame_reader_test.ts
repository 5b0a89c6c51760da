/** The reader of frames, alone and compared with the npm package `ws`. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { Receiver } from "ws";
import { copyUnmasked, decodeText, FrameReader, unmask } from "./frame_reader.ts";
import { BINARY, CLOSE, CONTINUATION, encodeFrame, PING, PONG, TEXT } from "./frame_head.ts";

const MESSAGE_BYTES_MAX = 1_000;

interface Seen {
  readonly events: (string | number | Uint8Array)[][];
}

/** The reader's events for chunks; `pauses` after each frame, and reads on. */
function read(chunks: readonly Uint8Array[], pauses = false): Seen["events"] {
  const events: Seen["events"] = [];
  const reader = new FrameReader(
    {
      message(opcode, body) {
        if (opcode === BINARY) return void events.push(["binary", body]);
        const text = decodeText(body);
        events.push(text === undefined ? ["failed", 1007] : ["text", text]);
      },
      ping: (body) => void events.push(["ping", body]),
      pong: () => void events.push(["pong"]),
      closed: (code) => void events.push(["closed", code]),
      failed: (code) => void events.push(["failed", code]),
      pauses,
    },
    MESSAGE_BYTES_MAX,
    false,
  );
  for (const chunk of chunks) {
    const own = chunk.slice();
    for (let at = 0; at < own.length;) at = reader.read(own, at);
  }
  // Invalid text ends a connection, which the socket does.
  const end = events.findIndex(([kind]) => kind === "failed" || kind === "closed");
  return end < 0 ? events : events.slice(0, end + 1);
}

/** The same of `ws`. */
async function readByWs(bytes: Uint8Array): Promise<Seen["events"]> {
  const events: Seen["events"] = [];
  const receiver = new Receiver({ isServer: true, maxPayload: MESSAGE_BYTES_MAX });
  const { promise, resolve } = Promise.withResolvers<void>();
  receiver.on("message", (data: Uint8Array, binary: boolean) => {
    const body = new Uint8Array(data);
    events.push(binary ? ["binary", body] : ["text", decodeText(body) as string]);
  });
  receiver.on("ping", (data: Uint8Array) => void events.push(["ping", new Uint8Array(data)]));
  receiver.on("pong", () => void events.push(["pong"]));
  receiver.on("conclude", (code: number) => {
    events.push(["closed", code]);
    resolve();
  });
  receiver.on("error", (error: Error) => {
    const key = Object.getOwnPropertySymbols(error).find(({ description }) =>
      description === "status-code"
    );
    events.push(["failed", (error as unknown as Record<symbol, number>)[key as symbol] as number]);
    resolve();
  });
  receiver.write(Buffer.from(bytes), () => resolve());
  await promise;
  // `ws` emits one message per turn.
  for (let before = -1; before !== events.length;) {
    before = events.length;
    for (let turns = 0; turns < 4; turns++) await new Promise((next) => setImmediate(next));
  }
  return events;
}

interface Drawn {
  readonly first: number;
  readonly masked: boolean;
  readonly mask: number;
  readonly body: Uint8Array;
  /** 0: the shortest; 1: 16 bits; 2: 64 bits. */
  readonly form: number;
}

function bytesOf({ first, masked, mask, body, form }: Drawn): number[] {
  const least = body.length < 126 ? 0 : 1;
  const extra = Math.max(least, form);
  const head = [first, (masked ? 0x80 : 0) | (extra === 0 ? body.length : 125 + extra)];
  if (extra === 1) head.push(body.length >>> 8, body.length & 0xff);
  if (extra === 2) head.push(0, 0, 0, 0, 0, 0, body.length >>> 8, body.length & 0xff);
  const own = body.slice();
  if (!masked) return [...head, ...own];
  unmask(own, 0, own.length, mask);
  return [...head, mask >>> 24, mask >>> 16 & 0xff, mask >>> 8 & 0xff, mask & 0xff, ...own];
}

const body = fc.oneof(
  { weight: 6, arbitrary: fc.uint8Array({ maxLength: 20 }) },
  { weight: 3, arbitrary: fc.string({ unit: "grapheme", maxLength: 20 }).map(utf8) },
  { weight: 1, arbitrary: fc.uint8Array({ minLength: 120, maxLength: 600, size: "max" }) },
  {
    weight: 1,
    arbitrary: fc.integer({ min: 999, max: 5_001 }).map((code) =>
      new Uint8Array([code >>> 8, code & 0xff])
    ),
  },
);
const opcode = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom(TEXT, BINARY, CONTINUATION, PING, PONG) },
  { weight: 1, arbitrary: fc.constantFrom(CLOSE, 3, 7, 11, 15) },
);
const drawn: fc.Arbitrary<Drawn> = fc.record({
  first: fc.tuple(opcode, fc.boolean(), fc.integer({ min: 0, max: 40 })).map(([code, fin, odd]) =>
    (fin || code >= CLOSE ? 0x80 : 0) | code | (odd === 0 ? 0x40 : odd === 1 ? 0x10 : 0)
  ),
  masked: fc.integer({ min: 0, max: 30 }).map((value) => value > 0),
  mask: fc.integer({ min: 0, max: 0xffffffff }),
  body,
  // ws accepts overlong lengths.
  form: fc.constant(0),
});

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Cuts at each of these positions, modulo the length. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const sorted = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) =>
    a - b
  );
  return [0, ...sorted].map((start, index) => bytes.subarray(start, sorted[index]));
}

Deno.test("reads random frames like ws, with the same end", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(drawn, { maxLength: 12 }), async (frames) => {
      const bytes = new Uint8Array(frames.flatMap(bytesOf));
      const ours = read([bytes]);
      const theirs = await readByWs(bytes);
      const end = ours.at(-1);
      // ws validates a text when it is complete, this reader at each fragment.
      const early = end?.[0] === "failed" && end[1] === 1007;
      assert.deepEqual(
        early ? ours.slice(0, -1) : ours,
        early ? theirs.slice(0, ours.length - 1) : theirs,
      );
    }),
    { numRuns: 400 },
  );
});

Deno.test("splits of chunks and pauses of the sink change nothing", () => {
  fc.assert(fc.property(
    fc.array(drawn, { maxLength: 8 }),
    fc.array(fc.nat(10_000), { maxLength: 30 }),
    (frames, places) => {
      const bytes = new Uint8Array(frames.flatMap(bytesOf));
      const whole = read([bytes]);
      assert.deepEqual(read(cut(bytes, places)), whole);
      assert.deepEqual(read([bytes], true), whole);
      assert.deepEqual(read(cut(bytes, bytes.map((_, at) => at) as unknown as number[])), whole);
    },
  ));
});

Deno.test("a declared length is refused before its bytes arrive, and costs no memory", () => {
  const head = new Uint8Array([0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4]);
  head[7] = 1;
  assert.deepEqual(read([head]), [["failed", 1009]]);
});

Deno.test("a message that arrived at once shares its buffer, a partial one does not", () => {
  const mask = [1, 2, 3, 4];
  const body = Array.from({ length: 50 }, (_, at) => 7 ^ (mask[at % 4] as number));
  const frame = new Uint8Array([0x82, 0x80 | 50, ...mask, ...body]);
  const [whole] = read([frame]);
  const [waited] = read([frame.subarray(0, 30), frame.subarray(30)]);
  for (const event of [whole, waited]) assert.deepEqual(event?.[1], new Uint8Array(50).fill(7));
  assert.ok((whole?.[1] as Uint8Array).buffer.byteLength > 10_000);
  assert.equal((waited?.[1] as Uint8Array).buffer.byteLength, 50);
});

Deno.test("a frame without a mask is refused with its second byte", () => {
  assert.deepEqual(read([encodeFrame(PING, new Uint8Array(0))]), [["failed", 1002]]);
  assert.deepEqual(read([new Uint8Array([0x81]), new Uint8Array([5])]), [["failed", 1002]]);
});

Deno.test("a length in more bytes than it needs is refused", () => {
  for (const form of [1, 2]) {
    const frame = { first: 0x82, masked: true, mask: 1, body: new Uint8Array(100), form };
    assert.deepEqual(read([new Uint8Array(bytesOf(frame))]), [["failed", 1002]]);
  }
});

Deno.test("copying and unmasking together equals doing both in sequence, and changes nothing else", () => {
  const most = 1_100;
  fc.assert(fc.property(
    fc.uint8Array({ maxLength: most, size: "max" }),
    fc.tuple(fc.nat(8), fc.nat(8), fc.nat(8)),
    fc.integer({ min: 0, max: 0xffffffff }),
    (bytes, [start, from, behind], mask) => {
      const source = new Uint8Array(3 + from + bytes.length + behind).subarray(3).fill(7);
      source.set(bytes, from);
      const target = new Uint8Array(1 + start + bytes.length + behind).subarray(1).fill(9);
      const wanted = target.slice();
      wanted.set(bytes, start);
      const next = unmask(wanted, start, start + bytes.length, mask);
      assert.equal(copyUnmasked(target, start, source, from, bytes.length, mask), next);
      assert.deepEqual([...target], [...wanted]);
    },
  ));
  const long = Uint8Array.from({ length: 5_000 }, (_none, at) => at);
  const copy = new Uint8Array(long.length);
  copyUnmasked(copy, 0, long, 0, long.length, 0x01020304);
  unmask(copy, 0, copy.length, 0x01020304);
  assert.deepEqual(copy, long);
});

Deno.test("unmasking by words equals unmasking by bytes, for any start", () => {
  fc.assert(fc.property(
    fc.uint8Array({ maxLength: 300, size: "max" }),
    fc.nat(8),
    fc.integer({ min: 0, max: 0xffffffff }),
    (bytes, offset, mask) => {
      const keys = [mask >>> 24, mask >>> 16 & 0xff, mask >>> 8 & 0xff, mask & 0xff];
      const start = Math.min(offset, bytes.length);
      const plain = bytes.map((byte, at) =>
        at < start ? byte : byte ^ (keys[(at - start) % 4] as number)
      );
      const shifted = new Uint8Array(bytes.length + 1).subarray(1);
      shifted.set(bytes);
      unmask(shifted, start, shifted.length, mask);
      assert.deepEqual([...shifted], [...plain]);
    },
  ));
});
