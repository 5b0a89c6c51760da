/** Marks of deleted tenants: when a process is notified of them, and what stays of a write beside a deletion. */
import assert from "node:assert/strict";
import { found, until } from "../testing/until.ts";
import { QUIET } from "../testing/logs.ts";
import { openEmbedded } from "../spine/embedded/embedded.ts";
import { TENANTS_BUCKET } from "./tenant_settings.ts";
import { markDeleted, TenantDeletions } from "./tenant_deletions.ts";

const DAY_MS = 86_400_000;
const RETENTION = { history_size: 10, history_ttl_seconds: 3_600, replicas: undefined };

async function world() {
  const spine = openEmbedded({ log: QUIET, now: () => 1 });
  const bucket = await spine.keyValue(TENANTS_BUCKET);
  const failed: string[] = [];
  const follow = async () => {
    const deletions = new TenantDeletions(bucket, (tenant_id) => failed.push(tenant_id));
    const others: string[] = [];
    const watch = bucket.watch([], (change) => {
      if (!deletions.take(change)) others.push(change.key.join("/"));
    });
    await watch.ready;
    deletions.listed();
    return { deletions, others };
  };
  return { spine, bucket, failed, follow };
}

Deno.test("each listener is notified of deletions since the start, whatever another one throws", async () => {
  const { spine, bucket, failed, follow } = await world();
  await markDeleted(bucket, "before", 1);
  const { deletions, others } = await follow();
  const notified: string[] = [];
  deletions.onDeleted(() => {
    throw new Error("broken");
  });
  const stop = deletions.onDeleted((tenant_id) => notified.push(tenant_id));
  await bucket.put(["acme"], new Uint8Array());
  await markDeleted(bucket, "acme", 2);
  await until("it is notified", () => notified.length === 1);
  stop();
  await markDeleted(bucket, "zoo", 3);
  await until("the other is notified", () => failed.length === 2);
  assert.deepEqual([notified, failed, others], [["acme"], ["acme", "zoo"], ["acme"]]);
  await spine.drain();
});

Deno.test("marks go with the first deletion a day later", async () => {
  const { spine, bucket, follow } = await world();
  const { deletions } = await follow();
  for (const [tenant_id, at_ms] of [["a", 1], ["b", 2], ["c", DAY_MS + 1]] as const) {
    await markDeleted(bucket, tenant_id, at_ms);
  }
  await until("the first is gone", () => deletions.known("a") === 0);
  assert.deepEqual((await bucket.keys()).map(([, tenant_id]) => tenant_id).toSorted(), ["b", "c"]);
  await spine.drain();
});

Deno.test("what was decided before a deletion is not stored after it, and does not stay beside it", async () => {
  const { spine, bucket, follow } = await world();
  const { deletions } = await follow();
  const log = await spine.log("acme", RETENTION);
  const append = (since: number) => deletions.append(log, since, "r", new Uint8Array([1]));
  const since = deletions.known("acme");
  assert.equal((await append(since))?.offset, 1);
  await markDeleted(bucket, "zoo", 1);
  assert.equal((await append(since))?.offset, 2);
  const deletes = async () => {
    const appended = await log.append("r", new Uint8Array([2]));
    await markDeleted(bucket, "acme", 1);
    return appended;
  };
  const erase = ({ offset }: { readonly offset: number }) => log.erase("r", [offset]);
  assert.equal(await deletions.keep("acme", since, deletes, erase), undefined);
  assert.equal(await append(since), undefined);
  assert.equal(await log.count("r", 1), 2);
  const now = await found("the mark", () => deletions.known("acme") || undefined);
  assert.notEqual(await append(now), undefined);
  await spine.drain();
});
