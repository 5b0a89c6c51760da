/** The ops handler as a function, and once behind a real listener. */
import assert from "node:assert/strict";
import { keptLog } from "../testing/logs.ts";
import { createMetrics, Gauge } from "../metrics/metrics.ts";
import { type HealthReport, opsHandler } from "./ops.ts";

const started_ms = Date.UTC(2026, 0, 1);
const up = { ok: true, since_ms: started_ms, detail: "connected to nats://127.0.0.1:4222" };
const down = { ok: false, since_ms: started_ms + 5_000, detail: "reconnecting, attempt 3" };

function handler(health: () => HealthReport = () => ({ checks: { spine: up } })) {
  const registry = createMetrics({ node_id: "n1", version: "1" });
  let now_ms = started_ms;
  const { log, lines } = keptLog({ level: "info", component: "shield", now: () => now_ms });
  const handle = opsHandler({ registry, health, now: () => now_ms, log });
  const get = (path: string, init?: RequestInit) => handle(new Request(`http://ops${path}`, init));
  return { get, registry, lines, at: (ms: number) => now_ms = ms };
}

Deno.test("/metrics answers in the Prometheus text format", async () => {
  const response = await handler().get("/metrics");
  assert.equal(response.status, 200);
  assert.match(response.headers.get("content-type") ?? "", /^text\/plain/);
  assert.match(await response.text(), /^arqon_build_info\{/m);
});

Deno.test("/health/live is 200 with the uptime even when the process is not ready", async () => {
  const ops = handler(() => ({ checks: { spine: down } }));
  ops.at(started_ms + 1_500);
  const response = await ops.get("/health/live");
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), { status: "ok", uptime_ms: 1_500 });
});

Deno.test("/health/ready is 200 when every check is ok", async () => {
  const response = await handler().get("/health/ready");
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("cache-control"), "no-store");
  assert.deepEqual(await response.json(), {
    status: "ok",
    checks: { spine: { status: "ok", since: "2026-01-01T00:00:00.000Z", detail: up.detail } },
  });
});

Deno.test("/health/ready is 503 and names the check that fails, since when and why", async () => {
  const response = await handler(() => ({ checks: { spine: down, keys: up } })).get(
    "/health/ready",
  );
  assert.equal(response.status, 503);
  const body = await response.json();
  assert.equal(body.status, "unavailable");
  assert.deepEqual(body.checks.spine, {
    status: "unavailable",
    since: "2026-01-01T00:00:05.000Z",
    detail: "reconnecting, attempt 3",
  });
  assert.equal(body.checks.keys.status, "ok");
});

Deno.test("an unknown path is a 404 problem", async () => {
  for (const path of ["/", "/metrics/", "/health", "/__proto__", "/constructor", "/toString"]) {
    const response = await handler().get(path);
    assert.equal(response.status, 404, path);
    assert.equal((await response.json()).reason, "not-found");
  }
  const long = await handler().get(`/${"x".repeat(10_000)}`);
  assert.ok((await long.text()).length < 1_000);
});

Deno.test("another method than GET and HEAD is a 405 problem that lists them", async () => {
  const response = await handler().get("/metrics", { method: "POST" });
  assert.equal(response.status, 405);
  assert.equal(response.headers.get("allow"), "GET, HEAD");
  assert.equal((await response.json()).reason, "method-not-allowed");
  assert.equal((await handler().get("/health/live", { method: "HEAD" })).status, 200);
});

Deno.test("a collector that throws is a 500 problem, with the cause in the log only", async () => {
  const ops = handler();
  new Gauge({
    name: "broken",
    help: "x",
    registers: [ops.registry],
    collect() {
      throw new Error("secret cause");
    },
  });
  const response = await ops.get("/metrics");
  assert.equal(response.status, 500);
  const body = await response.text();
  assert.match(body, /"reason":"internal"/);
  assert.doesNotMatch(body, /secret cause/);
  assert.match(ops.lines.join(""), /level=error component=shield path=\/metrics .*secret cause/);
});

Deno.test("a real listener serves it", async () => {
  const registry = createMetrics({ node_id: "n1", version: "1" });
  const handle = opsHandler({ registry, health: () => ({ checks: {} }), now: () => started_ms });
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, handle);
  const base = `http://127.0.0.1:${server.addr.port}`;
  const ready = await fetch(`${base}/health/ready`);
  assert.deepEqual(await ready.json(), { status: "ok", checks: {} });
  const head = await fetch(`${base}/metrics`, { method: "HEAD" });
  assert.equal(head.status, 200);
  assert.equal(await head.text(), "");
});
