/**
 * A write on a cluster whose acknowledgement is lost, and whose id the servers have forgotten by the time
 * that they are asked for it: it is refused, and the question harms the bucket in no way. A real cluster.
 */
import assert from "node:assert/strict";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-deno";
import { startNatsCluster } from "../../../tests/harness/nats_cluster.ts";
import { startTcpProxy } from "../../../tests/harness/tcp_proxy.ts";
import { bytes, text, within } from "../conformance/conformance.ts";
import { watched } from "./testing/nats_harness.ts";

Deno.test("on a cluster the question for a forgotten write leaves its bucket as it is", async () => {
  await using cluster = await startNatsCluster("", { silent: true });
  await cluster.ready();
  const [member] = cluster.members;
  assert.ok(member !== undefined);
  const observer = await connect({ servers: member.url });
  try {
    await (await jetstreamManager(observer)).streams.add({
      name: "KV_ROOMS",
      subjects: ["$KV.ROOMS.>"],
      num_replicas: 3,
      max_msgs_per_subject: 1,
      allow_rollup_hdrs: true,
      // The shortest time for which a server remembers ids.
      duplicate_window: 100_000_000,
    });
    await using proxy = startTcpProxy(member.port);
    await using away = await watched(proxy.port, { request_timeout_ms: 20_000 });
    await using here = await watched(member.port, { request_timeout_ms: 20_000 });
    const bucket = await here.spine.keyValue("ROOMS");
    const first = await bucket.put(["room"], bytes("1"));
    const other = await away.spine.keyValue("ROOMS");
    proxy.holdAnswers();
    const update = other.update(["room"], bytes("2"), first);
    let written = await bucket.get(["room"]);
    while (text(written?.value ?? bytes("")) !== "2") written = await bucket.get(["room"]);
    await proxy.cut();
    await away.reached("disconnected");
    await bucket.update(["room"], bytes("3"), written?.revision ?? 0);
    const js = jetstream(observer);
    const probe = () => js.publish("$KV.ROOMS.probe", bytes("x".repeat(20)), { msgID: "probe" });
    await probe();
    while ((await probe()).duplicate) continue;
    proxy.restore();
    await assert.rejects(within(update, "the outcome"), /unknown outcome/);
    const last = await within(bucket.put(["room"], bytes("4")), "a write afterwards");
    assert.equal((await bucket.get(["room"]))?.revision, last);
    const logs = cluster.members.map((one) => one.logTail()).join("\n");
    assert.doesNotMatch(logs, /critical write error/);
  } finally {
    await observer.close();
  }
});
