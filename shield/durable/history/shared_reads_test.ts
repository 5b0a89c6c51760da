/** Which callers share a read, and how many reads run at a time. */
import assert from "node:assert/strict";
import { turn } from "../../../shared/testing/pace.ts";
import { FairQueue } from "../../../shared/turns/fair_queue.ts";
import { SharedReads } from "./history.ts";

/** Reads that end on command, in the order in which they began; a key begins with its tenant. */
function controlled(options: { running_max?: number; waiting_max?: number } = {}) {
  const queue = new FairQueue({ running_max: 10, waiting_max: 10, ...options });
  const reads = new SharedReads<number>(queue);
  const begun: PromiseWithResolvers<number>[] = [];
  const ask = (key: string) =>
    reads.run(key[0]!, key, () => {
      const read = Promise.withResolvers<number>();
      begun.push(read);
      return read.promise;
    });
  return { ask, begun };
}

Deno.test("a failed read fails only for its own callers", async () => {
  const { ask, begun } = controlled();
  const first = [ask("a"), ask("a")];
  await turn();
  const later = ask("a");
  begun[0]?.reject(new Error("lost"));
  for (const one of await Promise.allSettled(first)) assert.equal(one.status, "rejected");
  await turn();
  begun[1]?.resolve(3);
  assert.equal(await later, 3);
});

Deno.test("different reads run concurrently up to the limit, the others queue", async () => {
  const { ask, begun } = controlled({ running_max: 2 });
  const pending = ["a", "b", "c", "d"].map(ask);
  await turn();
  assert.equal(begun.length, 2);
  for (let n = 0; n < 4; n++) {
    begun[n]?.resolve(n);
    await turn();
    assert.equal(begun.length, Math.min(4, n + 3));
  }
  assert.deepEqual(await Promise.all(pending), [0, 1, 2, 3]);
});

Deno.test("reads beyond the queue's limit are refused with 503, and the others are answered", async () => {
  const { ask, begun } = controlled({ running_max: 1, waiting_max: 3 });
  const pending = [ask("a")];
  await turn();
  pending.push(ask("a2"), ask("a3"));
  await assert.rejects(ask("a4"), { reason: "log-unavailable", code: 503, retry_after_ms: 1_000 });
  const joined = ask("a3");
  // The last place is another tenant's, whose read is the next.
  pending.push(ask("b"));
  for (let n = 0; n < 4; n++) {
    begun[n]?.resolve(n);
    await turn();
  }
  assert.deepEqual(await Promise.all([...pending, joined]), [0, 1, 3, 2, 3]);
});
