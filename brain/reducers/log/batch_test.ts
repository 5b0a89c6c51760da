/** Messages of a room's log: encoding and decoding are inverse, and other bytes are refused. */
import assert from "node:assert/strict";
import { CanonicalError } from "../state/canonical.ts";
import { command, timer, utf8 } from "../testing/rooms.ts";
import { type Batch, decodeBatch, encodeBatch } from "./batch.ts";

const BATCH: Batch = {
  program: "ab".repeat(32),
  published: { offset: 6, index: 2 },
  after: 6,
  entries: [
    command(7, { data: utf8("ü"), id: "i", claims: { team: "blå" }, role: "service" }),
    timer(8, "close", 1_000),
  ],
  chain: new Uint8Array(32).fill(7),
};

Deno.test("a batch is read back unchanged; a cut, lengthened or different one is invalid", () => {
  const bytes = encodeBatch(BATCH).slice();
  assert.deepEqual(decodeBatch(bytes), BATCH);
  const empty = { ...BATCH, entries: [] };
  assert.deepEqual(decodeBatch(encodeBatch(empty).slice()), empty);
  for (let size = 0; size < bytes.length; size++) {
    assert.throws(() => decodeBatch(bytes.subarray(0, size)), CanonicalError, `${size} bytes`);
  }
  assert.throws(() => decodeBatch(Uint8Array.of(...bytes, 0)), /1 bytes too many/);
  assert.throws(() => decodeBatch(bytes.with(0, 0)), /do not begin with ARQLOG1/);
});
