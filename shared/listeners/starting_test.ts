/** Readiness from the first moment on. */
import assert from "node:assert/strict";
import { createMetrics } from "../metrics/metrics.ts";
import { opsHandler } from "./ops.ts";
import { spinePhase, Starting } from "./starting.ts";

Deno.test("a starting process is live but not ready, and reports what it waits for", async () => {
  let now_ms = 1_000;
  const now = () => now_ms;
  const starting = new Starting(now);
  const registry = createMetrics({ node_id: "edge-1", version: "0" });
  const ops = opsHandler({ registry, health: starting.health, now });
  const ask = async (path: string) => {
    const response = await ops(new Request(`http://node${path}`));
    return [response.status, await response.text()] as const;
  };
  starting.begin(spinePhase({ nats: {} }));
  now_ms = 61_000;
  assert.equal((await ask("/health/live"))[0], 200);
  assert.equal((await ask("/metrics"))[0], 200);
  const [status, text] = await ask("/health/ready");
  assert.equal(status, 503);
  assert.deepEqual(JSON.parse(text).checks, {
    start: {
      status: "unavailable",
      since: "1970-01-01T00:00:01.000Z",
      detail: "starting: connecting to NATS",
    },
  });
  starting.end(() => ({ checks: { spine: { ok: true, since_ms: now_ms, detail: "connected" } } }));
  const [ready, body] = await ask("/health/ready");
  assert.deepEqual([ready, Object.keys(JSON.parse(body).checks)], [200, ["spine"]]);
});
