/** One page, one health and one admin API over real listeners, some of which fail. */
import assert from "node:assert/strict";
import { listen, type Listener } from "../../shared/listeners/listen.ts";
import type { Handler } from "../../shared/http1/exchange.ts";
import { QUIET } from "../../shared/testing/logs.ts";
import { createMetrics } from "../../shared/metrics/metrics.ts";
import { type OperatorOptions, supervisorAdmin, supervisorOps } from "./operators.ts";
import type { SlotState } from "./slot.ts";

interface Fake {
  readonly state?: SlotState;
  readonly ready?: number;
  readonly hangs?: boolean;
}

const LINE = "# HELP up u\n# TYPE up gauge\nup 1\n";

function open(name: string, handler: Handler): Listener {
  return listen({ name, host: "127.0.0.1", port: 0, handler });
}

/** Shields with given answers; `seen` has the requests at their admin ports. */
function start(fakes: readonly Fake[]) {
  const seen: string[] = [];
  const open_ones: Listener[] = [];
  const slots = fakes.map(({ state = "serving", ready = 200, hangs = false }, index) => {
    const ops = open("ops", ({ url }) => {
      if (hangs) return new Promise<Response>(() => {});
      if (url.endsWith("/metrics")) return new Response(LINE);
      if (url.endsWith("/live")) return Response.json({ status: "ok" });
      return Response.json({ checks: { spine: { status: "ok" } } }, { status: ready });
    });
    const admin = open("admin", async (request) => {
      const { pathname, search } = new URL(request.url);
      seen.push(`${index} ${request.method} ${pathname}${search} ${await request.text()}`);
      const origin = request.headers.get("origin") ?? "none";
      const headers = { "x-of": `${index}`, "x-origin": origin };
      return Response.json({ index }, { status: 418, headers });
    });
    open_ones.push(ops, admin);
    const ports = { ops_port: ops.port, admin_port: admin.port };
    const serves = state === "serving" ? ports : undefined;
    return { index, node_id: `edge-${index}`, pid: 7, restarts: 0, state, ports: serves };
  });
  const options: OperatorOptions = {
    slots,
    registry: createMetrics({ node_id: "edge", version: "0" }),
    now: Date.now,
    log: QUIET,
    fetch,
    timeout_ms: 2_000,
  };
  return {
    seen,
    ops: supervisorOps(options),
    admin: supervisorAdmin(options, { host: "127.0.0.1", allowed_hosts: ["node"] }),
    admin_ports: open_ones.filter((_, at) => at % 2 === 1),
    [Symbol.asyncDispose]: async () => {
      await Promise.all(open_ones.map((listener) => listener.close(0)));
    },
  };
}

const get = (path: string) => new Request(`http://node${path}`);

async function status(fakes: readonly Fake[], path: string): Promise<[number, string, boolean[]]> {
  await using node = start(fakes);
  const response = await node.ops(get(path));
  const { status, processes } = await response.json();
  return [response.status, status, processes.map(({ ok }: { ok: boolean }) => ok)];
}

Deno.test("the node is ready while one Shield is", async () => {
  const path = "/health/ready";
  assert.deepEqual(await status([{}, {}], path), [200, "ok", [true, true]]);
  assert.deepEqual(await status([{ ready: 503 }, {}], path), [200, "degraded", [false, true]]);
  assert.deepEqual(await status([{ state: "waiting" }, { ready: 503 }], path), [
    503,
    "unavailable",
    [false, false],
  ]);
});

Deno.test("each Shield is a check, as `arq status` shows them", async () => {
  await using node = start([{}, { state: "waiting" }]);
  const { checks } = await (await node.ops(get("/health/ready"))).json();
  assert.deepEqual(checks, {
    "process 0": { status: "ok", detail: "edge-0 serving, 0 restarts" },
    "process 1": { status: "unavailable", detail: "edge-1 waiting, 0 restarts" },
  });
});

Deno.test("the node is alive unless Shields serve and none of them answers", async () => {
  const path = "/health/live";
  assert.deepEqual(await status([{ hangs: true }, {}], path), [200, "ok", [false, true]]);
  assert.deepEqual(await status([{ hangs: true }], path), [503, "unavailable", [false]]);
  assert.deepEqual(await status([{ state: "starting" }], path), [200, "ok", [false]]);
});

Deno.test("the page has every Shield that answers, and the supervisor", async () => {
  await using node = start([{}, { hangs: true }, { state: "waiting" }, {}]);
  const response = await node.ops(get("/metrics"));
  const page = await response.text();
  assert.match(response.headers.get("content-type") ?? "", /^text\/plain/);
  assert.deepEqual(page.match(/^up.*$/gm), ['up{process="0"} 1', 'up{process="3"} 1']);
  assert.match(page, /^arqon_build_info\{process="supervisor",/m);
});

Deno.test("other paths and methods are refused", async () => {
  await using node = start([{}]);
  assert.equal((await node.ops(get("/metricz"))).status, 404);
  const posted = await node.ops(new Request("http://node/metrics", { method: "POST" }));
  assert.equal(posted.status, 405);
});

Deno.test("the admin API forwards to the Shields in turn, or to the named one", async () => {
  await using node = start([{}, {}, { state: "waiting" }]);
  const first = await node.admin(
    new Request("http://node/v1/policies?a=b", { method: "PUT", body: "module" }),
  );
  assert.deepEqual([first.status, first.headers.get("x-of")], [418, "0"]);
  assert.deepEqual(await first.json(), { index: 0 });
  for (const path of ["/v1/status", "/v1/processes/0/rooms/x?y=1"]) {
    await (await node.admin(get(path))).body?.cancel();
  }
  assert.deepEqual(node.seen, [
    "0 PUT /v1/policies?a=b module",
    "1 GET /v1/status ",
    "0 GET /v1/rooms/x?y=1 ",
  ]);
});

Deno.test("without a serving Shield the answer is process-unavailable, with Retry-After", async () => {
  await using node = start([{ state: "waiting" }, {}]);
  for (const path of ["/v1/processes/0/status", "/v1/processes/9/status"]) {
    const response = await node.admin(get(path));
    assert.equal(response.status, 503);
    assert.equal((await response.json()).reason, "process-unavailable");
    assert.equal(response.headers.get("retry-after"), "1");
  }
  await Promise.all(node.admin_ports.map((listener) => listener.close(0)));
  const gone = await node.admin(get("/v1/status"));
  assert.match((await gone.json()).detail, /did not answer/);
});

Deno.test("a page of the listener's own site may send requests, and a page of another site may not", async () => {
  await using node = start([{}]);
  const ask = (origin: string) =>
    node.admin(new Request("http://node/v1/cluster", { headers: { origin } }));
  const own = await ask("http://node");
  assert.deepEqual([own.status, own.headers.get("x-origin")], [418, "none"]);
  await own.body?.cancel();
  const foreign = await ask("https://evil.example");
  assert.deepEqual([foreign.status, (await foreign.json()).reason], [403, "origin-not-allowed"]);
  assert.equal(foreign.headers.get("cache-control"), "no-store");
});
