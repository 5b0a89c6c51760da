/** Questions to a log's leader beside appends, on a real cluster: an answer may be older than what was heard since. */
import assert from "node:assert/strict";
import { startNatsCluster } from "../../../../tests/harness/nats_cluster.ts";
import { bytes } from "../../conformance/conformance.ts";
import { logEngine, RETENTION } from "../testing/nats_log_harness.ts";

Deno.test("what was asked before an append and answered behind it is no loss", async () => {
  await using cluster = await startNatsCluster();
  await cluster.ready();
  // Three servers and a machine that does other work: what is asked has time.
  await using one = await logEngine(cluster.urls, {}, { request_timeout_ms: 60_000 });
  const log = await one.spine.log("acme", RETENTION);
  const first = log.stream;
  for (let round = 0; round < 300; round++) {
    const room = `r${round % 5}`;
    await Promise.all([
      ...Array.from({ length: 20 }, () => log.append(room, bytes("x"))),
      ...Array.from({ length: 20 }, () => log.head(room)),
      log.status(),
    ]);
  }
  assert.equal(log.stream, first);
  assert.equal(one.events.items.filter((event) => event.type !== "state").length, 0);
});
