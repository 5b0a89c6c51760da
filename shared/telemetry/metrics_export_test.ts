/** Metrics to a collector that runs, that does not, and that recovers; over real HTTP. */
import assert from "node:assert/strict";
import { startOtlpReceiver } from "../../tests/otlp/receiver.ts";
import { configFrom } from "../config/load.ts";
import { atEnd } from "../testing/at_end.ts";
import { keptLog, QUIET } from "../testing/logs.ts";
import { Counter, createMetrics } from "../metrics/metrics.ts";
import { until } from "../testing/until.ts";
import type { MetricsExport } from "./metrics_export.ts";
import { openMetricsExport } from "./start.ts";
import { telemetryResource } from "./resource.ts";
import { freePort } from "../../tests/harness/free_ports.ts";

const resource = telemetryResource({ service_name: "arqon-test", node_id: "n1", version: "1.2.3" });

interface Exporting {
  readonly registry: ReturnType<typeof createMetrics>;
  readonly things: Counter;
  readonly lines: string[];
  readonly exporting: MetricsExport;
  /** How many exports had this outcome. */
  exports(outcome: string): Promise<number>;
}

/** An export every second, the most often that the config allows. */
async function exportTo(otlp_url: string, more: Record<string, unknown> = {}): Promise<Exporting> {
  const registry = createMetrics({ node_id: "n1", version: "1.2.3" });
  const things = new Counter({ name: "things_total", help: "Things.", registers: [registry] });
  const { log, lines } = keptLog({ level: "info" });
  const { telemetry } = configFrom({
    telemetry: { otlp_url, metrics_interval_ms: 1_000, ...more },
  });
  const readTextFile = Deno.readTextFileSync;
  const base = { registry, telemetry, resource, log, readTextFile };
  const exporting = await openMetricsExport({ ...base, now: Date.now });
  assert.ok(exporting !== undefined);
  const exports = async (outcome: string): Promise<number> => {
    const { values } = await registry.getSingleMetric("arqon_otlp_exports_total")!.get();
    return values.find(({ labels }) => labels["outcome"] === outcome)?.value ?? NaN;
  };
  return { registry, things, lines, exporting, exports };
}

Deno.test("the values of a scrape reach the collector, with the sender's attributes", async () => {
  await using collector = await startOtlpReceiver();
  const test = await exportTo(`${collector.url}/`);
  test.things.inc(7);
  await until("an export", () => collector.metrics().has("things_total"));
  const [metric] = collector.metrics().get("things_total") ?? [];
  assert.deepEqual([metric?.kind, metric?.is_monotonic, metric?.temporality], ["sum", true, 2]);
  assert.equal(metric?.points[0]?.value, 7);
  const { start_ns = 0n, time_ns = 0n } = metric?.points[0] ?? {};
  assert.ok(start_ns > 0n && start_ns < time_ns);
  assert.equal(metric?.resource["service.name"], "arqon-test");
  assert.equal(metric?.resource["service.instance.id"], "n1");
  assert.equal(metric?.resource["service.version"], "1.2.3");
  const page = (await test.registry.getMetricsAsJSON()).map(({ name }) => name);
  assert.deepEqual([...collector.metrics().keys()].sort(), page.sort());
  test.things.inc();
  await test.exporting.shutdown();
  const [last] = collector.metrics().get("things_total") ?? [];
  assert.equal(last?.points[0]?.value, 8, "the last values go out at the end");
  assert.deepEqual(test.lines, []);
});

Deno.test("an unreachable collector is logged once, counted each time, and logged once when it returns", async () => {
  const away = await startOtlpReceiver(freePort());
  const { port, url } = away;
  await away[Symbol.asyncDispose]();
  const test = await exportTo(url, { timeout_ms: 500 });
  await until("two failures", async () => await test.exports("failed") >= 2);
  assert.equal(test.lines.length, 1, test.lines.join("\n"));
  assert.match(test.lines[0] ?? "", /level=warn .*metrics do not reach the collector/);
  test.things.inc(3);
  await using back = await startOtlpReceiver(port);
  await until("the totals at the restarted one", () => {
    const [metric] = back.metrics().get("things_total") ?? [];
    return metric?.points[0]?.value === 3;
  });
  await until("success", async () => await test.exports("ok") >= 1);
  assert.equal(test.lines.length, 2, test.lines.join("\n"));
  assert.match(test.lines[1] ?? "", /metrics reach the collector again/);
  await test.exporting.shutdown();
});

Deno.test("a refusing collector is not retried at once", async () => {
  await using collector = await startOtlpReceiver();
  collector.answerWith(400);
  const test = await exportTo(collector.url);
  await until("a failure", async () => await test.exports("failed") >= 1);
  assert.equal(collector.requests.metrics, await test.exports("failed"));
  assert.match(test.lines[0] ?? "", /level=warn/);
  collector.answerWith(200);
  await test.exporting.shutdown();
});

Deno.test({
  name: "the end does not wait for a collector that takes connections and never answers",
  async fn() {
    // The address of a real socket without a reader.
    using deaf = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const taken: Deno.Conn[] = [];
    const accepting = (async () => {
      for await (const conn of deaf) taken.push(conn);
    })().catch(() => {});
    const url = `http://127.0.0.1:${(deaf.addr as Deno.NetAddr).port}`;
    const test = await exportTo(url, { timeout_ms: 1_000 });
    const began_ms = performance.now();
    await test.exporting.shutdown();
    await test.exporting.shutdown();
    const took_ms = performance.now() - began_ms;
    assert.ok(took_ms < 20_000, `${took_ms} ms`);
    for (const conn of taken) conn.close();
    deaf.close();
    await accepting;
  },
  // The cancelled request ends with its socket, some turns later.
  sanitizeOps: false,
  sanitizeResources: false,
});

Deno.test("headers of a file go with each export, as the file has them then", async () => {
  await using collector = await startOtlpReceiver();
  const headers_file = await Deno.makeTempFile();
  await using _end = atEnd(() => Deno.remove(headers_file).catch(() => {}));
  await Deno.writeTextFile(headers_file, "authorization: Bearer first-hunter2\n");
  const test = await exportTo(collector.url, { headers_file });
  const shown = () => collector.headers()?.get("authorization");
  await until("the first token", () => shown() === "Bearer first-hunter2");
  await Deno.writeTextFile(headers_file, "# rotated\nauthorization: Bearer second-hunter2\n");
  await until("the second", () => shown() === "Bearer second-hunter2");
  await Deno.remove(headers_file);
  const before = collector.requests.metrics;
  await until("exports without the file", () => collector.requests.metrics > before + 1);
  assert.equal(shown(), "Bearer second-hunter2", "the last good one is used on");
  await test.exporting.shutdown();
  const lines = test.lines.filter((line) => line.includes("telemetry.headers_file"));
  assert.equal(lines.length, 1, test.lines.join(""));
  assert.doesNotMatch(test.lines.join(""), /hunter2/);
});

Deno.test("without a collector, or with metrics off, nothing is started", async () => {
  const registry = createMetrics({ node_id: "n1", version: "1" });
  const log = QUIET;
  for (const text of [{}, { otlp_url: "http://127.0.0.1:9", metrics: false }]) {
    const { telemetry } = configFrom({ telemetry: text });
    const readTextFile = Deno.readTextFileSync;
    const options = { registry, telemetry, resource, log, now: Date.now, readTextFile };
    assert.equal(await openMetricsExport(options), undefined);
  }
  assert.equal(registry.getSingleMetric("arqon_otlp_exports_total"), undefined);
});
