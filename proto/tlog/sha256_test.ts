/** SHA-256 compared with OpenSSL, for every length around the block size. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { sha256 } from "./sha256.ts";

Deno.test("the hash equals OpenSSL's, also for parts of buffers", () => {
  const all = crypto.getRandomValues(new Uint8Array(65_536));
  for (let length = 0; length < 400; length++) {
    const bytes = all.subarray(length, 2 * length);
    assert.equal(sha256(bytes).toHex(), createHash("sha256").update(bytes).digest("hex"));
  }
  const into = new Uint8Array(40);
  sha256(all, into.subarray(4, 36));
  const hash = createHash("sha256").update(all).digest("hex");
  assert.equal(into.toHex(), `00000000${hash}00000000`);
});
