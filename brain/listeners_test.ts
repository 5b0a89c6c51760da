/** The ops and admin listeners over real HTTP on loopback. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { configFrom } from "../shared/config/load.ts";
import { atEnd } from "../shared/testing/at_end.ts";
import { QUIET } from "../shared/testing/logs.ts";
import { createMetrics } from "../shared/metrics/metrics.ts";
import type { HealthReport } from "../shared/listeners/ops.ts";
import { type ListenerOptions, type Listeners, startListeners } from "./listeners.ts";

const LOOPBACK = { host: "127.0.0.1", port: 0 };
const READY: HealthReport = { checks: { spine: { ok: true, since_ms: 0, detail: "fine" } } };

async function withListeners(
  options: Partial<ListenerOptions>,
  body: (listeners: Listeners) => Promise<void>,
): Promise<void> {
  const listeners = await startListeners({
    config: configFrom({ ops: LOOPBACK, admin: LOOPBACK }),
    read: Deno.readTextFileSync,
    log: QUIET,
    registry: createMetrics({ node_id: "b1", version: "0" }),
    health: () => READY,
    now: Date.now,
    ...options,
  });
  await using _end = atEnd(() => listeners.close());
  await body(listeners);
}

async function answer(address: string, path: string, init?: RequestInit) {
  const response = await fetch(`${address}${path}`, init);
  return { status: response.status, headers: response.headers, body: await response.text() };
}

Deno.test("without a check of tokens the admin listener has no path", async () => {
  await withListeners({}, async ({ admin_url: admin }) => {
    for (const path of ["/", "/v1/status", "/metrics"]) {
      const { status, headers, body } = await answer(admin, path);
      assert.equal(status, 404);
      assert.equal(headers.get("content-type"), "application/problem+json");
      assert.equal(JSON.parse(body).reason, "not-found");
    }
  });
});

Deno.test("with one, status answers to an admin alone", async () => {
  const authorizeAdmin = (request: Request): Promise<void> => {
    const token = request.headers.get("authorization");
    if (token === "Bearer broken") return Promise.reject(new TypeError("a bug"));
    return token === "Bearer admin"
      ? Promise.resolve()
      : Promise.reject(new ArqonError("token-missing"));
  };
  await withListeners({ authorizeAdmin }, async ({ admin_url: admin }) => {
    const as = (token: string, method = "GET") => ({ method, headers: { authorization: token } });
    assert.equal((await answer(admin, "/v1/status")).status, 401);
    assert.equal((await answer(admin, "/v1/other", as("Bearer admin"))).status, 404);
    assert.equal((await answer(admin, "/v1/status", as("Bearer broken"))).status, 500);
    assert.equal((await answer(admin, "/v1/status", as("Bearer admin", "PUT"))).status, 405);
    const { status, body } = await answer(admin, "/v1/status", as("Bearer admin"));
    assert.equal(status, 200);
    assert.deepEqual(JSON.parse(body), { component: "brain", ...READY });
  });
});

Deno.test("a port in use is named with its table, and nothing stays open", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr;
  const admin = { host: "127.0.0.1", port };
  await assert.rejects(
    withListeners({ config: configFrom({ ops: LOOPBACK, admin }) }, () => Promise.resolve()),
    (error) =>
      error instanceof Error &&
      error.message.startsWith(`admin listener: port ${port} on 127.0.0.1 is in use`),
  );
});
