/** Shares of a bucket that nobody watches: what a process takes, and what others took, as of its last list. */
import assert from "node:assert/strict";
import { configFrom } from "../config/load.ts";
import { QUIET } from "../testing/logs.ts";
import { overriding } from "../testing/overriding.ts";
import { BucketShares, inShares } from "./bucket_shares.ts";
import { openSpine } from "./open.ts";

Deno.test("a tenant above its share of a bucket meets a full one, and another tenant does not", async () => {
  const spine = await openSpine(configFrom({}), { log: QUIET, now: Date.now });
  const stored = await spine.keyValue("ARQON_TEST");
  const bounded = overriding(stored, { limit_bytes: 10_000 });
  let now_ms = 0;
  const bucket = inShares(bounded, new BucketShares(() => now_ms));
  const value = new Uint8Array(1_000);
  for (const at of [1, 2, 3, 4, 5, 6]) await bucket.put(["acme", `${at}`], value);
  const full = { reason: "spine-unavailable", message: /share of the bucket/ };
  await assert.rejects(bucket.put(["acme", "7"], value), full);
  await assert.rejects(bucket.update(["acme", "7"], value, 0), full);
  await bucket.put(["acme", "1"], value);
  const { revision } = (await bucket.get(["acme", "2"]))!;
  await bucket.update(["acme", "2"], value, revision);
  await bucket.update(["globex", "1"], new Uint8Array(100), 0);
  // Another process removes some.
  for (const at of [1, 2]) await stored.delete(["acme", `${at}`]);
  now_ms += 60_000;
  await bucket.put(["acme", "7"], value);
  await spine.drain();
});
