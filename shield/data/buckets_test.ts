// What an erasure asks of the cluster.
import assert from "node:assert/strict";
import { startAnswerer } from "../../shared/cluster/cluster_answerer.ts";
import { ClusterAsker } from "../../shared/cluster/cluster_asker.ts";
import { eraseEntries } from "../../shared/cluster/cluster_erase.ts";
import { createLogger } from "../../shared/logs/log.ts";
import { MEMBERS_BUCKET } from "../../shared/records/member.ts";
import { REDUCERS_BUCKET } from "../../shared/records/reducer_record.ts";
import { ROOMS_BUCKET } from "../../shared/records/room_update.ts";
import { openEmbedded } from "../../shared/spine/embedded/embedded.ts";
import { until } from "../../shared/testing/until.ts";
import { bucketStores, findBrain } from "./buckets.ts";

const BRAINS = [ROOMS_BUCKET, MEMBERS_BUCKET, REDUCERS_BUCKET];

Deno.test("an erasure asks once which Brain erases, however many of a Brain's buckets it is about", async () => {
  const write = () => {};
  const log = createLogger({
    level: "error",
    format: "logfmt",
    component: "test",
    write,
    now: Date.now,
  });
  const random = (size: number) => crypto.getRandomValues(new Uint8Array(size));
  const spine = openEmbedded({ log, now: Date.now });
  const common = { spine, log, now: Date.now };
  const onAsker = () => {};
  const shield = startAnswerer({ ...common, node_id: "s", kind: "shield", handlers: {}, onAsker });
  const asker = new ClusterAsker({
    ...common,
    node_id: "s",
    kind: "shield",
    answerer: shield,
    random,
  });
  const handlers = {
    erase_entries: (params: unknown) => eraseEntries(spine, params),
  };
  const brain = startAnswerer({ ...common, node_id: "b", kind: "brain", handlers, onAsker });
  try {
    await until("the Brain is known", async () => {
      await asker.hello();
      return asker.isKnown("b");
    });
    for (const name of BRAINS) {
      const bucket = await spine.keyValue(name, { leaves_stream: true });
      await bucket.put(["acme", "lobby"], new TextEncoder().encode("{}"));
    }
    const before = asker.counts.asked;
    const brain_id = findBrain(asker);
    const erased: number[] = [];
    for (const store of bucketStores(spine, asker)) {
      erased.push(await store.erase({ tenant: "acme" }, brain_id));
    }
    assert.equal(erased.reduce((sum, count) => sum + count), BRAINS.length);
    // For each order its process is asked for its clock, too.
    assert.equal(asker.counts.asked - before, 1 + 2 * BRAINS.length);
  } finally {
    for (const one of [asker, shield, brain]) one.close();
    await spine.drain();
  }
});
