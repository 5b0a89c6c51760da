/** What a start says of too little storage, and what the gauges say from then on. A real server with a small `max_file`. */
import assert from "node:assert/strict";
import { Registry } from "prom-client";
import { startNats } from "../../tests/harness/nats_server.ts";
import { configFrom } from "../config/load.ts";
import { createLogger } from "../logs/log.ts";
import { until } from "../testing/until.ts";
import { refusedWith } from "./conformance/conformance.ts";
import { logEngine, operator, RETENTION } from "./nats/testing/nats_log_harness.ts";
import { watchStorage } from "./storage_watch.ts";

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
  const lines: string[] = [];
  const logger = createLogger({
    level: "info",
    format: "logfmt",
    component: "shield",
    now: Date.now,
    write: (line) => void lines.push(line),
  });
  const watch = (tenants: number, on_storage_short: string) => {
    const nats = { urls: [server.url], on_storage_short };
    const config = configFrom({ nats, durable: { log_bytes: 8 * MIB, tenants } });
    const registry = new Registry();
    const watched = { spine: one.spine, config, registry, log: logger, interval_ms: 50 };
    return { registry, watching: watchStorage(watched) };
  };
  const refused = watch(5, "refuse").watching;
  await assert.rejects(refused, refusedWith("spine-unavailable"));
  await assert.rejects(refused, /bytes are promised of the 33554432 .*5 tenants .*max_file_store/);
  using _enough = await watch(2, "refuse").watching;
  const { registry, watching } = watch(5, "warn");
  using _watching = await watching;
  await until(
    "the limit",
    async () => await gauge(registry, "arqon_spine_storage_limit_bytes") === 32 * MIB,
  );
  const promised = await gauge(registry, "arqon_spine_storage_promised_bytes") ?? 0;
  assert.ok(promised > 5 * 8 * MIB && promised < 6 * 8 * MIB, `${promised}`);
  assert.equal(await gauge(registry, "arqon_spine_unbounded_streams"), 0);
  const warnings = () => lines.filter((line) => line.includes("there is too little storage"));
  assert.equal(warnings().length, 1);
  assert.match(warnings()[0] ?? "", /level=warn .*promised of the 33554432/);
  // Somebody takes the bound away: it is found out, and with the next publish it is back.
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
