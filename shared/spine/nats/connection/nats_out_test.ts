/** The buffer writes what a NATS server reads, in the order of the calls, in few writes. */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import fc from "fast-check";
import { headerBytes } from "../../contract/check.ts";
import { headerBlock, headerLines } from "./nats_frames.ts";
import { OutBuffer, type Outgoing } from "./nats_wire.ts";

const encoder = new TextEncoder();
const nextTurn = () => new Promise<void>((resolve) => setImmediate(() => resolve()));

/** The message by NATS' protocol description. */
function expected({ subject, reply, block, payload }: Outgoing): Uint8Array {
  const head = encoder.encode(block);
  const words = [head.length === 0 ? "PUB" : "HPUB", subject, ...reply === "" ? [] : [reply]];
  const sizes = head.length === 0 ? [payload.length] : [head.length, head.length + payload.length];
  const line = encoder.encode(`${[...words, ...sizes].join(" ")}\r\n`);
  return join([line, head, payload, encoder.encode("\r\n")]);
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

const subject = fc.stringMatching(/^[a-z.]{1,30}$/);
const outgoing = fc.record({
  subject,
  reply: fc.oneof(fc.constant(""), subject),
  headers: fc.dictionary(fc.constantFrom("a", "b"), fc.constantFrom("plain", "", "é", "日本")),
  payload: fc.oneof(
    fc.uint8Array({ maxLength: 20 }),
    fc.constantFrom(9_999, 10_000, 32_768, 65_536, 200_000).map((size) => new Uint8Array(size)),
  ),
}).map(({ headers, ...rest }): Outgoing => ({
  ...rest,
  block: headerBlock(headerLines(headers)),
  block_bytes: headerBytes(headers),
}));

Deno.test("messages and what nats.js sends are passed on completely and in order", async () => {
  const call = fc.oneof(outgoing, fc.constantFrom("PING\r\n", "SUB a 1\r\n"));
  await fc.assert(fc.asyncProperty(fc.array(call, { maxLength: 20 }), async (calls) => {
    const written: Uint8Array[] = [];
    const out = new OutBuffer((bytes) => void written.push(bytes));
    for (const one of calls) {
      if (typeof one === "string") out.send(encoder.encode(one));
      else out.publish(one);
    }
    await nextTurn();
    const wanted = calls.map((one) =>
      typeof one === "string" ? encoder.encode(one) : expected(one)
    );
    assert.deepEqual(join(written), join(wanted));
  }));
});

const plain = (payload: Uint8Array): Outgoing => ({
  subject: "a",
  reply: "",
  block: "",
  block_bytes: 0,
  payload,
});

Deno.test("a turn is one write, with the ping that confirms it", async () => {
  const written: Uint8Array[] = [];
  const out = new OutBuffer((bytes) => void written.push(bytes));
  for (let n = 0; n < 10; n++) out.publish(plain(new Uint8Array(100)));
  assert.equal(written.length, 0);
  await nextTurn();
  assert.equal(written.length, 1);
  out.publish(plain(new Uint8Array(100)));
  out.hold();
  setImmediate(() => out.send(encoder.encode("PING\r\n")));
  await nextTurn();
  await nextTurn();
  assert.equal(written.length, 2);
  out.publish(plain(new Uint8Array(100)));
  await nextTurn();
  assert.equal(written.length, 3, "a hold ends with what it was for");
  out.hold();
  out.send(encoder.encode("PING\r\n"));
  out.publish(plain(new Uint8Array(100)));
  await nextTurn();
  assert.equal(written.length, 5, "also when nothing was published in its turn");
});

Deno.test("a payload may change once it has been published, and written bytes may be kept", () => {
  const written: Uint8Array[] = [];
  const out = new OutBuffer((bytes) => void written.push(bytes));
  for (const size of [10, 100_000]) {
    const payload = new Uint8Array(size).fill(1);
    out.publish(plain(payload));
    payload.fill(2);
    out.flush();
    out.publish(plain(payload));
    out.flush();
    const [first, second] = written.splice(0);
    assert.deepEqual(first, expected(plain(new Uint8Array(size).fill(1))));
    assert.deepEqual(second, expected(plain(payload)));
  }
});
