/**
 * Settings that an operator changes while a process relies on them, or before it begins, for each kind of stream. Real
 * server, proxy.
 */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { DiscardPolicy, RetentionPolicy, type StreamConfig } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-deno";
import { startNats } from "../../../../tests/harness/nats_server.ts";
import { startTcpProxy } from "../../../../tests/harness/tcp_proxy.ts";
import { until } from "../../../testing/until.ts";
import { bytes, within } from "../../testing/conformance.ts";
import type { Spine } from "../../contract/spine.ts";
import { logEngine, operator, RETENTION } from "../testing/nats_log_harness.ts";

type Changes = readonly Partial<StreamConfig>[];

const COMMON: Changes = [{ no_ack: true }, { retention: RetentionPolicy.Interest }];
const OF_LOGS: Changes = [
  ...COMMON,
  { discard: DiscardPolicy.Old },
  { duplicate_window: 100_000_000 },
  { discard: DiscardPolicy.New, discard_new_per_subject: true },
  { subject_transform: { src: ">", dest: "away.>" } },
  { republish: { src: ">", dest: "wrong.>" } },
];
// Former values would survive an erasure, and bans end without a deletion.
const OF_BUCKETS: Changes = [
  ...COMMON,
  { max_msgs_per_subject: 5, max_age: nanos(3_600_000) },
];
const KEPT = { max_age_seconds: 60, max_bytes: 1e6 };
const BLOCK = { tenant_id: "acme", node_id: "s1", ttl_seconds: 60, max_bytes: 1e6 };

/** By stream: what uses it, and what somebody changes. */
const KINDS: Record<string, { open(spine: Spine): Promise<unknown>; readonly changes: Changes }> = {
  LOG_acme_: {
    open: async (spine) => await (await spine.log("acme", RETENTION)).append("a", bytes("x")),
    changes: OF_LOGS,
  },
  LOGS_: {
    open: (spine) => spine.log("small", { ...RETENTION, common: RETENTION }),
    changes: OF_LOGS,
  },
  KV_BANS: { open: (spine) => spine.keyValue("BANS"), changes: OF_BUCKETS },
  OBJ_MODULES: { open: (spine) => spine.objects("MODULES"), changes: COMMON },
  ARQON_AUDIT: {
    open: (spine) => spine.blocks("audit", KEPT),
    changes: [...COMMON, { discard: DiscardPolicy.New }],
  },
  ARQON_JOURNAL: {
    open: async (spine) =>
      await (await spine.blocks("journal", KEPT)).append({ ...BLOCK, payload: bytes("x") }),
    changes: [...COMMON, { max_msgs_per_subject: 3 }],
  },
};

for (const [prefix, { open, changes }] of Object.entries(KINDS)) {
  Deno.test(`${prefix}: settings that a process relies on are set again, also after an outage`, async () => {
    await using server = await startNats({ jetstream: true });
    await using proxy = startTcpProxy(server.port);
    await using outside = await operator(server.url);
    const { streams } = outside;
    await using one = await logEngine([`nats://127.0.0.1:${proxy.port}`], { shared_streams: 1 });
    await open(one.spine);
    const names = (await streams.list().next()).map(({ config }) => config.name);
    const stream = names.find((name) => name.startsWith(prefix)) ?? names.join();
    const settings = async () =>
      JSON.stringify({ ...(await streams.info(stream)).config, metadata: 0 });
    const before = await settings();
    for (const change of changes) {
      await streams.update(stream, change);
      await until(`${JSON.stringify(change)} is undone`, async () => await settings() === before);
    }
    await proxy.cut();
    await until("the link is cut", () => one.spine.status.state === "disconnected");
    await streams.update(stream, { no_ack: true });
    proxy.restore();
    await until("it is undone after the outage", async () => await settings() === before);
    const warned = one.lines.filter((line) => line.includes("other settings than the bus relies"));
    assert.equal(warned.length, changes.length + 1, warned.join(""));
    for (const line of warned) assert.match(line, new RegExp(stream));
    await one.spine.drain();
    const { config: { allow_direct = false } } = await streams.info(stream);
    await streams.update(stream, { allow_direct: !allow_direct, no_ack: true });
    await using next = await logEngine([server.url], { shared_streams: 1 });
    await open(next.spine);
    assert.equal(await settings(), before, "set again at its opening");
  });
}

Deno.test("without JetStream whatever is stored is refused with what to set", async () => {
  await using server = await startNats();
  await using one = await logEngine([server.url], { shared_streams: 1 });
  for (const { open } of Object.values(KINDS)) {
    await assert.rejects(within(open(one.spine), "the refusal"), (error) => {
      assert.ok(error instanceof ArqonError && error.code === 503, String(error));
      assert.match(error.message, /JetStream is not enabled on .*jetstream \{ store_dir: "…" \}/);
      return true;
    });
  }
});
