/**
 * The key by which a share of messages is mirrored, on two Shields and a real NATS. `shield/mirror/` tests the share,
 * and NATS permissions; the factor `mirror` of `tests/model` has each copy.
 */
import assert from "node:assert/strict";
import { connect } from "@nats-io/transport-deno";
import { atEnd } from "../shared/testing/at_end.ts";
import { until } from "../shared/testing/until.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { startNats } from "./harness/nats_server.ts";
import { samplesOf } from "./harness/server_state.ts";
import { startShadowConsumer } from "./model/shadow_consumer.ts";
import { startOtlpReceiver } from "./otlp/receiver.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { ask, openText } from "./peers/raw_client.ts";

const RULE = `[platform.mirroring]
rules = [{ prefix = "in.t.default.r.whole-*", percent = 0.5 }]
`;

/** The messages for which a Shield has decided by the rule. */
async function decidedBy({ ops_url }: TestBus): Promise<number> {
  const series = [...await samplesOf(ops_url)].filter(([name]) =>
    name.startsWith('shield_mirror_traffic_total{rule="in.t.default.r.whole-*"')
  );
  return series.reduce((sum, [, count]) => sum + count, 0);
}

/** docs/governance.md: the sampling key, for each way in which a client sends a trace, and without one. */
Deno.test("a trace, a session, or over HTTP a user, is mirrored whole", async () => {
  await using nats = await startNats({ jetstream: true });
  await using collector = await startOtlpReceiver();
  const config = `[nats]\nurls = ["${nats.url}"]\n${RULE}`;
  // A trace that this Shield starts, since it records each message, is no key.
  const recording = `[telemetry]\notlp_url = "${collector.url}"\ntraces_ratio = 1\n`;
  await using one = await startLocalBus(config + recording);
  await using two = await startLocalBus(config);
  const connection = await connect({ servers: nats.url });
  await using _end = atEnd(() => connection.close());
  const { shadowsOf } = await startShadowConsumer(connection);
  const counts = new Map<string, number>();
  for (let n = 0; n < 16; n++) {
    const [trace_id, other] = [n + 17, n + 57].map((at) => at.toString(16).repeat(16));
    const traceparent = `00-${trace_id}-b7ad6b7169203331-00`;
    const contradicted = { traceparent: traceparent.replace(trace_id!, other!) };
    const ways = [{ trace_id }, { headers: { traceparent } }, { trace_id, headers: contradicted }];
    for (const [at, bus] of [one, two].entries()) {
      using client = await openText(bus.url, await one.tokenFor({ user: "ann" }));
      const publish = async (room: string, more: object) => {
        await ask(client, { op: "pub", room, data: 1, ...more });
        counts.set(room, (counts.get(room) ?? 0) + 1);
      };
      const post = async (room: string, more: object, headers = {}, user = "ann") => {
        const peer = new HttpPeer(bus.http_url, await one.tokenFor({ user }));
        const body = { data: 1, ...more };
        const { status } = await peer.call("POST", `rooms/${room}/messages`, body, headers);
        assert.equal(status, 200);
        counts.set(room, (counts.get(room) ?? 0) + 1);
      };
      for (const way of ways) {
        await publish(`whole-t${n}`, way);
        await post(`whole-t${n}`, way, contradicted);
      }
      await post(`whole-t${n}`, {}, { traceparent });
      for (const headers of [{}, { traceparent: "nonsense" }]) {
        await publish(`whole-s${n}${at}`, { headers });
        await post(`whole-u${n}`, {}, {}, `user-${n}`);
      }
    }
  }
  const all = [...counts.values()].reduce((sum, count) => sum + count, 0);
  await until("no copy waits", async () => await decidedBy(one) + await decidedBy(two) === all);
  await connection.flush();
  for (const key of ["t", "u", "s"]) {
    const rooms = [...counts].filter(([room]) => room.startsWith(`whole-${key}`));
    const copied = rooms.filter(([room, count]) => {
      const copies = shadowsOf("default", room).length;
      assert.ok(copies === 0 || copies === count, `${room}: ${copies} of ${count}`);
      return copies > 0;
    });
    assert.ok(copied.length > 0 && copied.length < rooms.length, `${key}: ${copied.length}`);
  }
});
