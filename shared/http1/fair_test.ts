/**
 * Requests that come behind each other at full speed, on both kinds of HTTP: a connection has one of a
 * turn of the event loop, so others are answered in between; and connections that come at the same moment are let in
 * slice by slice. Counted in turns.
 */
import assert from "node:assert/strict";
import { writeAll } from "./byte_stream.ts";
import { until } from "../testing/until.ts";
import { listenBare } from "./listener.ts";

const REQUESTS = 400;
const ARRIVALS = 60;
const LIMITS = {
  strangers: 100,
  strangers_per_address: 100,
  head_ms: 60_000,
  body_ms: 60_000,
  idle_ms: 60_000,
  answer_ms: 60_000,
  descriptors: 1_000,
};

for (const http of ["own", "runtime"] as const) {
  Deno.test({
    name:
      `${http}: a flood of requests has one of a turn, and the requests of others come in between`,
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      const order: string[] = [];
      let [most, now] = [0, 0];
      const endTurn = () => now = 0;
      const listener = await listenBare({
        host: "127.0.0.1",
        port: 0,
        ...(http === "runtime" ? { http } : {}),
        handler({ url }) {
          const { pathname } = new URL(url);
          order.push(pathname);
          if (pathname === "/flood" && now++ === 0) setImmediate(endTurn);
          most = Math.max(most, now);
          return new Response("ok");
        },
        onGone() {},
        limits: LIMITS,
      });
      const connect = () => Deno.connect({ hostname: "127.0.0.1", port: listener.port });
      using flooding = await connect();
      using other = await connect();
      const ask = (path: string) => `GET ${path} HTTP/1.1\r\nHost: bus\r\n\r\n`;
      await writeAll(other, new TextEncoder().encode(ask("/other")));
      await writeAll(flooding, new TextEncoder().encode(ask("/flood").repeat(REQUESTS)));
      const answers = new Uint8Array(65_536);
      // Its answers are taken: it does not stop for those.
      const draining = (async () => {
        while (await flooding.read(new Uint8Array(65_536)) !== null);
      })().catch(() => {});
      const asked = () => order.filter((path) => path === "/flood").length;
      while (asked() < REQUESTS) {
        await other.read(answers);
        await writeAll(other, new TextEncoder().encode(ask("/other")));
      }
      // The share of one turn and that of the next, which may begin before the count does.
      assert(most <= 2, `${most} in one turn`);
      assert(order.filter((path) => path === "/other").length > 2);
      const ended = listener.shutdown();
      listener.abandon();
      await ended;
      await draining;
    },
  });
}

Deno.test("connections that come at once are let in over many turns", async () => {
  let [now_ms, came, most, together] = [0, 0, 0, 0];
  const endTurn = () => together = 0;
  const listener = await listenBare({
    host: "127.0.0.1",
    port: 0,
    handler: () => new Response("ok"),
    onGone() {},
    limits: LIMITS,
    // Each takes half of a slice.
    now: () => now_ms,
    proxies: {
      speaksFirst: false,
      isProxy() {
        came++;
        now_ms++;
        if (together++ === 0) setImmediate(endTurn);
        most = Math.max(most, together);
        return false;
      },
    },
  });
  const connect =
    `for _ in {1..${ARRIVALS}}; do exec {fd}<>/dev/tcp/127.0.0.1/${listener.port}; done`;
  // This thread stands still meanwhile.
  assert(new Deno.Command("bash", { args: ["-c", connect] }).outputSync().success);
  await until("all have come", () => came === ARRIVALS);
  // The slice of one turn and that of the next, which may begin before the count does.
  assert(most <= 4, `${most} in one turn`);
  await listener.shutdown();
});
