/**
 * Mirroring for operators and shadow consumers: two Shields, each a process, on a real NATS, and a shadow consumer.
 * `shield/mirror/` tests the mirrored share, and NATS permissions.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { createIssuer, type Issuer } from "./harness/cluster.ts";
import { type LocalShield, startLocalShield } from "./harness/local_bus.ts";
import { startNats } from "./harness/nats_server.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";
import { connect, decidedBy, listenOn, setRule } from "./mirror_cluster.ts";
import type { MirrorCluster as Cluster } from "./mirror_cluster.ts";
import { startOtlpReceiver } from "./otlp/receiver.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { ask } from "./peers/raw_client.ts";

async function post(
  { ready }: LocalShield,
  issuer: Issuer,
  room: string,
  body: object,
  { sub = "ann", ...headers }: Record<string, string> = {},
) {
  const peer = new HttpPeer(ready.url ?? "", await issuer.tokenFor({ sub }));
  const answer = await peer.call("POST", `rooms/${room}/messages`, body, headers);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
}

/** docs/governance.md: the sampling key, for each way in which a client sends a trace, and without one. */
async function whole(cluster: Cluster): Promise<void> {
  const { shields, issuer, listener } = cluster;
  await setRule(cluster, "in.t.acme.r.whole-*", 0.5);
  const counts = new Map<string, number>();
  const sent = (room: string) => void counts.set(room, (counts.get(room) ?? 0) + 1);
  for (let n = 0; n < 16; n++) {
    const [trace_id, other] = [n + 17, n + 57].map((at) => at.toString(16).repeat(16));
    const traceparent = `00-${trace_id}-b7ad6b7169203331-00`;
    const [of_trace, of_user, of_session] = ["t", "u", "s"].map((key) => `whole-${key}${n}`);
    for (const [at, shield] of shields.entries()) {
      using client = await connect(shield, issuer);
      const contradicted = { traceparent: traceparent.replace(trace_id!, other!) };
      const ways = [{ trace_id }, { headers: { traceparent } }, {
        trace_id,
        headers: contradicted,
      }];
      for (const way of ways) {
        await ask(client, { op: "pub", room: of_trace, data: 1, ...way });
        await post(shield, issuer, of_trace!, { data: 1, ...way }, contradicted);
        sent(of_trace!);
        sent(of_trace!);
      }
      await post(shield, issuer, of_trace!, { data: 1 }, { traceparent });
      sent(of_trace!);
      for (const headers of [{}, { traceparent: "nonsense" }]) {
        await ask(client, { op: "pub", room: `${of_session}${at}`, data: 1, headers });
        sent(`${of_session}${at}`);
        await post(shield, issuer, of_user!, { data: 1 }, { sub: `user-${n}` });
        sent(of_user!);
      }
    }
  }
  const all = [...counts.values()].reduce((sum, count) => sum + count, 0);
  await until("no copy waits", async () => {
    const each = shields.map((shield) => decidedBy(shield, "in.t.acme.r.whole-*"));
    return (await Promise.all(each)).reduce((sum, count) => sum + count, 0) === all;
  });
  await listener.spine.flush();
  for (const key of ["t", "u", "s"]) {
    const rooms = [...counts].filter(([room]) => room.startsWith(`whole-${key}`));
    const copied = rooms.filter(([room, count]) => {
      const copies = listener.inRoom("shadow.in", room).length;
      assert.ok(copies === 0 || copies === count, `${room}: ${copies} of ${count}`);
      return copies > 0;
    });
    assert.ok(copied.length > 0 && copied.length < rooms.length, `${key}: ${copied.length}`);
  }
}

Deno.test("mirroring on two Shields and a real NATS", async (t) => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}${PATIENT_POLICIES}`;
  // A trace that this Shield starts, since it records each message, is no key.
  await using collector = await startOtlpReceiver();
  const recording = `[telemetry]\notlp_url = "${collector.url}"\ntraces_ratio = 1\n`;
  await using one = await startLocalShield(config + recording);
  await using two = await startLocalShield(config);
  await using listener = await listenOn(nats.url);
  const cluster = { issuer, shields: [one, two], listener };
  await t.step("a trace, a session, or over HTTP a user, is mirrored whole", () => whole(cluster));
});
