/** The scanner finds the same messages in a server's bytes as nats.js' own parser, however they are split. */
import assert from "node:assert/strict";
import { Kind, Parser } from "@nats-io/transport-deno";
import fc from "fast-check";
import { FrameScanner, type MessageFrame } from "./nats_frames.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The content of a frame as text: no two frames are equal. */
type Seen = readonly [sid: number, subject: string, reply: string, headers: string, data: string];

function seen(frame: MessageFrame): Seen {
  const { bytes, sid, subject_from, subject_to, reply_from, reply_to } = frame;
  const { headers_from, payload_from, payload_to } = frame;
  const text = (from: number, to: number) => Array.from(bytes.subarray(from, to)).join();
  return [
    sid,
    text(subject_from, subject_to),
    text(reply_from, reply_to),
    text(headers_from, payload_from),
    text(payload_from, payload_to),
  ];
}

/** The result of nats.js for the same bytes; stops at unknown input. */
function parsed(chunks: readonly Uint8Array[]) {
  const messages: Seen[] = [];
  const others: string[] = [];
  let failed = false;
  const parser = new Parser({
    push(event) {
      if (typeof event === "function") throw new TypeError("the parser gives events");
      if (event.kind !== Kind.MSG) {
        others.push(`${event.kind} ${decoder.decode(event.data)}`);
        return;
      }
      const { msg, data = new Uint8Array(0) } = event;
      if (msg === undefined) throw new TypeError("a message has arguments");
      const { sid, hdr, subject, reply } = msg;
      const text = (bytes: Uint8Array | undefined) => Array.from(bytes ?? []).join();
      const headers_bytes = Math.max(0, hdr);
      messages.push([
        sid,
        text(subject),
        text(reply),
        text(data.subarray(0, headers_bytes)),
        text(data.subarray(headers_bytes)),
      ]);
    },
  });
  try {
    for (const chunk of chunks) parser.parse(chunk.slice());
  } catch {
    failed = true;
  }
  return { messages, others, failed };
}

function cut(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [...new Set(cuts.map((place) => place % (bytes.length + 1)))].sort((a, b) =>
    a - b
  );
  return [...places, bytes.length].map((to, index) => bytes.slice(places[index - 1] ?? 0, to))
    .filter((chunk) => chunk.length > 0);
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

const token = fc.string({
  unit: fc.constantFrom("a", "Z", "9", ".", "_", "$", "-", "M", "H"),
  minLength: 1,
  maxLength: 12,
});
const content = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.constantFrom("\r\n", "MSG a 1 2\r\n", "PING\r\n", "").map((text) => encoder.encode(text)),
  fc.integer({ min: 600, max: 3_000 }).map((size) => new Uint8Array(size).fill(10)),
);
const message = fc.record({
  subject: token,
  sid: fc.integer({ min: 0, max: 1_000_000 }),
  reply: fc.option(token),
  headers: fc.option(fc.uint8Array({ maxLength: 30 })),
  payload: content,
}).map(({ subject, sid, reply, headers, payload }) => {
  const size_bytes = payload.length + (headers?.length ?? 0);
  const sizes = headers === null ? `${size_bytes}` : `${headers.length} ${size_bytes}`;
  const words = [headers === null ? "MSG" : "HMSG", subject, sid, ...reply === null ? [] : [reply]];
  const line = encoder.encode(`${words.join(" ")} ${sizes}\r\n`);
  return join([line, headers ?? new Uint8Array(0), payload, encoder.encode("\r\n")]);
});
const control = fc.constantFrom(
  "PING\r\n",
  "PONG\r\n",
  "+OK\r\n",
  "-ERR 'no'\r\n",
  'INFO {"a":1}\r\n',
)
  .map((text) => encoder.encode(text));
const stream = fc.array(fc.oneof({ weight: 3, arbitrary: message }, control), { maxLength: 12 })
  .map(join);
const cuts = fc.array(fc.nat(), { maxLength: 8 });

/** Takes the messages of subscriptions with an even number; the rest goes to nats.js' parser. */
function scan(chunks: readonly Uint8Array[], wanted = (sid: number) => sid % 2 === 0) {
  const taken: Seen[] = [];
  const scanner = new FrameScanner((frame) => {
    if (!wanted(frame.sid)) return false;
    taken.push(seen(frame));
    return true;
  });
  const rest = chunks.flatMap((chunk) => scanner.feed(chunk));
  return { taken, rest };
}

Deno.test("every message is found as nats.js finds it, and others are passed on unchanged", () => {
  fc.assert(fc.property(stream, cuts, (bytes, places) => {
    const chunks = cut(bytes, places);
    const expected = parsed(chunks);
    assert.equal(expected.failed, false);
    const { taken, rest } = scan(chunks);
    const others = parsed(rest);
    const isTaken = ([sid]: Seen) => sid % 2 === 0;
    assert.deepEqual(taken, expected.messages.filter(isTaken));
    assert.deepEqual(others.messages, expected.messages.filter((one) => !isTaken(one)));
    assert.deepEqual(others.others, expected.others);
    assert.equal(others.failed, false);
  }));
});

Deno.test("with nothing requested, whole frames are passed on byte for byte", () => {
  fc.assert(fc.property(stream, cuts, (bytes, places) => {
    const { taken, rest } = scan(cut(bytes, places), () => false);
    assert.deepEqual([taken.length, join(rest)], [0, bytes]);
  }));
});

Deno.test("invalid frames are passed to nats.js, with everything after them, and no message is invented", () => {
  const strange = fc.constantFrom(
    "msg a 2 1\r\nx\r\n",
    "MSG a two 1\r\nx\r\n",
    "MSG  a 2 1\r\nx\r\n",
    "MSG\ta 2 1\r\nx\r\n",
    "MSG a 2 -1\r\nx\r\n",
    "MSG a 2 1\r\nxyz\r\n",
    "MSG a 2 99999999999\r\nx\r\n",
    "HMSG a 2 5 1\r\nx\r\n",
    "MSG a b c d e 2\r\nxx\r\n",
    "MSG a 2\r\n",
    "hmsg a 2 1 2\r\nxy\r\n",
  ).map((text) => encoder.encode(text));
  fc.assert(fc.property(stream, strange, stream, cuts, (before, middle, after, places) => {
    const all = cut(join([before, middle, after]), places);
    const { taken, rest } = scan(all);
    const expected = parsed(cut(before, [])).messages.filter(([sid]) => sid % 2 === 0);
    assert.deepEqual(taken, expected);
    const tail = join(rest);
    const strangers = join([middle, after]);
    assert.deepEqual(tail.subarray(tail.length - strangers.length), strangers);
  }));
});

Deno.test("a frame that arrived whole is not copied", () => {
  const chunk = encoder.encode("MSG in.t.acme.r.chat 2 5\r\nhello\r\n");
  let bytes: Uint8Array | undefined;
  new FrameScanner((frame) => {
    bytes = frame.bytes;
    return true;
  }).feed(chunk);
  assert.equal(bytes, chunk);
});
