/** Header blocks are read and written as nats.js does. */
import assert from "node:assert/strict";
import { MsgHdrsImpl } from "@nats-io/nats-core";
import fc from "fast-check";
import { headerBytes } from "../../contract/check.ts";
import { BLOCK_BYTES, headerBlock, headerLines, readHeaders } from "./nats_frames.ts";

const encoder = new TextEncoder();

/** The result of nats.js for the block without the lines for which it throws. */
function byNats(bytes: Uint8Array) {
  const [start = "", ...lines] = new TextDecoder().decode(bytes).split("\r\n");
  const isRead = (line: string) => {
    try {
      MsgHdrsImpl.decode(encoder.encode(`NATS/1.0\r\n${line}`));
      return true;
    } catch {
      return false;
    }
  };
  const all = MsgHdrsImpl.decode(encoder.encode([start, ...lines.filter(isRead)].join("\r\n")));
  // An object has names that are numbers first, like ours.
  const headers = Object.fromEntries([...all].map(([name, values]) => [name, values[0]]));
  return { headers: Object.entries(headers), code: all.code, description: all.description };
}

function byUs(bytes: Uint8Array) {
  const { headers, code, description } = readHeaders(bytes, 0, bytes.length);
  return { headers: Object.entries(headers), code, description };
}

const status = fc.constantFrom(
  "NATS/1.0\r\n",
  "NATS/1.0 503\r\n",
  "NATS/1.0 404 Not Found\r\n",
  "NATS/1.0 100 Idle\r\n",
  "NATS/1.0  \r\n",
  "NATS/1.0",
  "\r\n",
);
const piece = fc.oneof(
  fc.constantFrom(
    "Nats-Sequence",
    "a",
    "A",
    ":",
    ": ",
    " ",
    "\t",
    "\r",
    "\n",
    "\r\n",
    "é",
    "\ufeff",
  ),
  fc.string({ maxLength: 8 }),
);
const line = fc.oneof(
  fc.tuple(fc.constantFrom("Nats-Stream", "a", "b", "x-arqon-origin"), fc.string({ maxLength: 12 }))
    .map(([name, value]) => `${name}: ${value}`),
  fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join("")),
);
const block = fc.tuple(
  status,
  fc.array(line, { maxLength: 6 }),
  fc.constantFrom("\r\n\r\n", "\r\n", ""),
)
  .map(([start, lines, end]) => encoder.encode(start + lines.join("\r\n") + end));

Deno.test("any header block is read as nats.js reads it, without the lines for which it throws", () => {
  fc.assert(fc.property(block, (bytes) => assert.deepEqual(byUs(bytes), byNats(bytes))), {
    numRuns: 1_000,
  });
});

Deno.test("whatever follows the only name that the block before had is read as nats.js reads it", () => {
  const end = fc.string({ unit: fc.constantFrom("\r", "\n", ":", "a"), maxLength: 3 });
  const usual = encoder.encode("NATS/1.0\r\na: b\r\n\r\n");
  const after = end.map((text) => encoder.encode(`NATS/1.0\r\na: b\r\n${text}`));
  fc.assert(fc.property(after, (bytes) => {
    assert.deepEqual(byUs(usual), byNats(usual));
    assert.deepEqual(byUs(bytes), byNats(bytes));
  }));
});

Deno.test("bytes that are no UTF-8 are read as nats.js reads them", () => {
  const some = fc.uint8Array({ maxLength: 20 }).map((bytes) =>
    new Uint8Array([...encoder.encode("NATS/1.0\r\na: "), ...bytes, 13, 10, 13, 10])
  );
  fc.assert(fc.property(some, (bytes) => assert.deepEqual(byUs(bytes), byNats(bytes))));
});

const name = fc.stringMatching(/^[!-9;-~]{1,12}$/);
const value = fc.oneof(fc.stringMatching(/^[!-~]{0,20}$/), fc.constantFrom("é: kept", "日本", ""));

Deno.test("a block is written as nats.js writes it, and as long as was counted", () => {
  fc.assert(fc.property(fc.dictionary(name, value), (headers) => {
    const lines = headerLines(headers);
    const written = encoder.encode(headerBlock(lines));
    const theirs = new MsgHdrsImpl();
    for (const [key, one] of Object.entries(headers)) theirs.append(key, one);
    assert.deepEqual(written, theirs.encode());
    assert.equal(written.length, headerBytes(headers));
    const lines_bytes = encoder.encode(lines).length;
    assert.equal(lines_bytes, Math.max(0, headerBytes(headers) - BLOCK_BYTES));
  }));
});
