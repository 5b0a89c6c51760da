/** Tests of NATS' protocol as a byte stream: it reads the same wherever frames divide it. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { encodePublish, parseNats } from "./nats_wire.ts";
import { Unread } from "./unread.ts";

const encoder = new TextEncoder();

type Part = { readonly line: string } | { readonly body: Uint8Array; readonly reply: boolean };

function written(part: Part): Uint8Array {
  if ("line" in part) return encoder.encode(`${part.line}\r\n`);
  const reply = part.reply ? " _INBOX.1" : "";
  const head = encoder.encode(`MSG a.room 9${reply} ${part.body.length}\r\n`);
  return new Uint8Array([...head, ...part.body, 13, 10]);
}

function read(chunks: readonly Uint8Array[]): (string | number[])[] {
  const found: (string | number[])[] = [];
  const unread = new Unread();
  const events = {
    onMessage: (body: Uint8Array) => void found.push([...body]),
    onLine: (line: string) => void found.push(line),
  };
  for (const chunk of chunks) unread.take(chunk, (bytes) => parseNats(bytes, events));
  return found;
}

const part: fc.Arbitrary<Part> = fc.oneof(
  fc.constantFrom("PING", "PONG", "+OK", "-ERR 'Slow Consumer'", "INFO {}").map((line) => ({
    line,
  })),
  fc.record({ body: fc.uint8Array({ maxLength: 300 }), reply: fc.boolean() }),
);

Deno.test("messages and lines come out as they went in, wherever the stream is divided", () => {
  fc.assert(fc.property(
    fc.array(part, { maxLength: 12 }),
    fc.array(fc.nat(), { maxLength: 12 }),
    (parts, places) => {
      const stream = new Uint8Array(parts.flatMap((one) => [...written(one)]));
      const cuts = [...places.map((place) => place % (stream.length + 1)), 0, stream.length]
        .sort((a, b) => a - b);
      const chunks = cuts.slice(1).map((end, index) => stream.subarray(cuts[index], end));
      const sent = parts.map((one) => "line" in one ? one.line : [...one.body]);
      assert.deepEqual(read(chunks), sent);
    },
  ));
});

Deno.test("a body may hold what looks like protocol", () => {
  const body = encoder.encode("\r\nMSG x 1 3\r\nabc\r\nPING\r\n");
  assert.deepEqual(read([written({ body, reply: false })]), [[...body]]);
});

Deno.test("a message is not taken before its last byte", () => {
  const bytes = written({ body: new Uint8Array(5), reply: false });
  const never = { onMessage: () => assert.fail(), onLine: () => assert.fail() };
  assert.equal(parseNats(bytes.subarray(0, -1), never), 0);
});

Deno.test("a publication is subject, size and bytes", () => {
  const text = new TextDecoder().decode(encodePublish("a.room", encoder.encode("hello")));
  assert.equal(text, "PUB a.room 5\r\nhello\r\n");
});
