/**
 * The watch of a real server's storage: warnings about too little of it at the start, the gauges afterwards, and
 * refused writes.
 */
import assert from "node:assert/strict";
import { jetstream, jetstreamManager, StorageType } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-deno";
import { Registry } from "prom-client";
import { startNats } from "../../tests/harness/nats_server.ts";
import { configFrom } from "../config/load.ts";
import { keptLog, testLog } from "../testing/logs.ts";
import { createMetrics } from "../metrics/metrics.ts";
import { temporaryFolder } from "../testing/temporary_folder.ts";
import { until } from "../testing/until.ts";
import { refusedWith } from "./testing/conformance.ts";
import type { Spine } from "./contract/spine.ts";
import { openEmbedded } from "./embedded/embedded.ts";
import { watched } from "./nats/testing/nats_harness.ts";
import { logEngine, operator, RETENTION } from "./nats/testing/nats_log_harness.ts";
import { watchStorage, watchWrites, type WriteWatch } from "./metrics.ts";

// Warnings at the start about too little storage, and the gauges afterwards. A real server with a small `max_file`.

const MIB = 1_048_576;

/** A gauge of the registry; undefined when it is not there. */
async function gauge(registry: Registry, name: string): Promise<number | undefined> {
  const text = await registry.metrics();
  const value = new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1];
  return value === undefined ? undefined : Number(value);
}

Deno.test("too little storage is one warning with both figures, or no start; gauges follow", async () => {
  const store_dir = await Deno.makeTempDir({ prefix: "arqon-storage-watch-" });
  const server_config = `jetstream { store_dir: ${JSON.stringify(store_dir)}, max_file: 32MB }`;
  await using server = await startNats({ config: server_config });
  await using one = await logEngine([server.url], { log_bytes: 8 * MIB });
  await using outside = await operator(server.url);
  const log = await one.spine.log("acme", RETENTION);
  const { log: logger, lines } = keptLog({ level: "info" });
  const watch = (tenants: number) => {
    const config = configFrom({
      nats: { urls: [server.url] },
      durable: { log_bytes: 8 * MIB, tenants },
    });
    const registry = new Registry();
    const watched = { spine: one.spine, config, registry, log: logger, interval_ms: 50 };
    return { registry, watching: watchStorage(watched) };
  };
  using _enough = watch(2).watching;
  const { registry, watching } = watch(5);
  using _watching = watching;
  await until(
    "the limit",
    async () => await gauge(registry, "arqon_spine_storage_limit_bytes") === 32 * MIB,
  );
  const promised = await gauge(registry, "arqon_spine_storage_promised_bytes") ?? 0;
  assert.ok(promised > 5 * 8 * MIB && promised < 6 * 8 * MIB, `${promised}`);
  assert.equal(await gauge(registry, "arqon_spine_unbounded_streams"), 0);
  const warnings = () => lines.filter((line) => line.includes("there is too little storage"));
  assert.equal(warnings().length, 1);
  assert.match(
    warnings()[0] ?? "",
    /level=warn .*promised of the 33554432 .*5 tenants .*max_file_store/,
  );
  // Another client removes the bound: this is detected, and the next publish restores it.
  await outside.streams.update(log.stream, { max_bytes: -1 });
  await log.status();
  const unbounded = async (count: number) =>
    await gauge(registry, "arqon_spine_unbounded_streams") === count;
  await until("the gauge", () => unbounded(1));
  await assert.rejects(log.append("a", new Uint8Array(10)), refusedWith("log-unavailable"));
  await until("the bound", () => unbounded(0));
  await log.append("a", new Uint8Array(10));
  await Deno.remove(store_dir, { recursive: true }).catch(() => {});
});

// Whether writes are stored: on a NATS server that is out of storage, and in the embedded engine when one tenant has
// used up its share. `tests/embedded_outage_test.ts` has a full disk.

const now = Date.now;

function watching(spine: Spine) {
  const { log, lines } = keptLog({ level: "info", now });
  const registry = createMetrics({ node_id: "n", version: "0" });
  const watch = watchWrites({ spine, registry, log, now });
  const gauge = async () =>
    /^arqon_spine_storage_writable (\d)$/m.exec(await registry.metrics())?.[1];
  return { watch, lines, gauge };
}

const silent = testLog();

const says = (watch: WriteWatch, ok: boolean) =>
  until(() => `still ${JSON.stringify(watch.check())}`, () => watch.check().ok === ok);

/** Writes until it is refused. */
async function filled(write: () => Promise<unknown>): Promise<void> {
  for (let writes = 0; writes < 1_000; writes++) {
    try {
      await write();
    } catch {
      return;
    }
  }
  throw new Error("never full");
}

Deno.test("NATS out of storage: the check and the gauge report it and what to do, until there is space", async () => {
  await using store_dir = await temporaryFolder();
  const config = `jetstream { store_dir: ${JSON.stringify(store_dir.path)}, max_file_store: 16MB }`;
  await using nats = await startNats({ config });
  const { spine } = await watched(nats.port, { request_timeout_ms: 2_000 });
  const { watch, lines, gauge } = watching(spine);
  try {
    await watch.asked;
    assert.deepEqual([watch.check().ok, await gauge()], [true, "1"], watch.check().detail);
    const connection = await connect({ servers: nats.url.replace("nats://", "") });
    const { streams } = await jetstreamManager(connection);
    await streams.add({ name: "FILLING", subjects: ["filling"], storage: StorageType.File });
    await filled(() => jetstream(connection).publish("filling", new Uint8Array(500_000)));
    // On a busy machine a write may be too late before one is refused.
    const full = /NATS is out of storage \(.+\): raise max_file_store/;
    await until(() => `still ${watch.check().detail}`, () => full.test(watch.check().detail));
    assert.equal(await gauge(), "0");
    assert.ok(lines.some((line) => line.includes("the storage takes no writes")));
    await streams.delete("FILLING");
    await connection.close();
    await says(watch, true);
    assert.equal(await gauge(), "1");
    assert.ok(lines.some((line) => line.includes("the storage takes writes again")));
  } finally {
    watch[Symbol.dispose]();
    await spine.drain();
  }
});

Deno.test("a tenant whose log is full affects that tenant only: the others' writes are stored", async () => {
  const spine = openEmbedded({ log: silent, now, log_limits: { log_bytes: 1_048_576 } });
  const { watch, gauge } = watching(spine);
  try {
    await watch.asked;
    const retention = { history_size: 10_000, history_ttl_seconds: 3_600, replicas: undefined };
    const rooms = await spine.log("acme", retention);
    await filled(() => rooms.append("a", new Uint8Array(20_000)));
    assert.deepEqual([watch.check().ok, await gauge()], [true, "1"], watch.check().detail);
    await (await spine.log("globex", retention)).append("a", new Uint8Array(2_000));
  } finally {
    watch[Symbol.dispose]();
    await spine.drain();
  }
});
