/**
 * Pipelined requests at full speed, on both kinds of HTTP: a connection has one in each turn of the event loop, so that
 * others are answered in between. Connections that arrive at the same moment are admitted slice by slice. Counted in
 * turns.
 */
import assert from "node:assert/strict";
import { writeAll } from "./byte_stream.ts";
import { until } from "../testing/until.ts";
import { turn } from "../turns/next_turn.ts";
import { Arrival, Arrivals } from "./arrivals.ts";
import { showsToken } from "./handled_request.ts";
import { FileReserve } from "./file_reserve.ts";
import { listenBare } from "./listener.ts";
import { LIMITS } from "./testing/limits.ts";

const REQUESTS = 400;
const ARRIVALS = 60;

for (const http of ["own", "runtime"] as const) {
  Deno.test({
    name:
      `${http}: a flood of requests has one of a turn, and the requests of others come in between`,
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      const order: string[] = [];
      let most = 0;
      let now = 0;
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
      // The client reads its answers, so it never stalls on them.
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

const KNOWN = 60;
/** How long the handler takes, in ms. */
const BUSY_MS = 1;

Deno.test("requests of many known connections at the same moment are answered over several turns", async () => {
  let most = 0;
  let now = 0;
  let answered = 0;
  const listener = await listenBare({
    host: "127.0.0.1",
    port: 0,
    handler(request) {
      showsToken(request);
      if (request.url.endsWith("/busy")) {
        if (now++ === 0) setImmediate(() => now = 0);
        most = Math.max(most, now);
        for (const end_ms = performance.now() + BUSY_MS; performance.now() < end_ms;);
      }
      return new Response("ok");
    },
    onGone() {},
    limits: LIMITS,
  });
  const conns = await Promise.all(
    Array.from(
      { length: KNOWN },
      () => Deno.connect({ hostname: "127.0.0.1", port: listener.port }),
    ),
  );
  const ask = (path: string) =>
    Promise.all(conns.map(async (conn) => {
      await writeAll(conn, new TextEncoder().encode(`GET ${path} HTTP/1.1\r\nHost: bus\r\n\r\n`));
      if (await conn.read(new Uint8Array(65_536)) !== null) answered++;
    }));
  await ask("/first");
  await ask("/busy");
  assert.equal(answered, 2 * KNOWN);
  assert(most <= 12, `${most} in one turn`);
  for (const conn of conns) conn.close();
  await listener.shutdown();
});

/** Of `LIMITS.descriptors`: half of a burst finds plenty, the others few, or reserved ones. */
const RESERVED = 100;
const USED = 910;

for (const scarce of [false, true]) {
  Deno.test(`simultaneous connections${scarce ? ", with few files left," : ""} are admitted over many turns`, async () => {
    let now_ms = 0;
    let came = 0;
    let most = 0;
    let together = 0;
    const endTurn = () => together = 0;
    let used = 0;
    const table = {
      open() {
        if (used === LIMITS.descriptors) {
          throw Object.assign(new Error("no file"), { code: "EMFILE" });
        }
        return used++;
      },
      close: () => void used--,
    };
    const reserve = scarce ? new FileReserve(RESERVED, table) : undefined;
    used = USED;
    const listener = await listenBare({
      host: "127.0.0.1",
      port: 0,
      handler: () => new Response("ok"),
      turnAway: () => new Response("turned away", { status: 503 }),
      onGone() {},
      reserve,
      limits: { ...LIMITS, reserved: RESERVED },
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
    // This thread is blocked meanwhile.
    assert(new Deno.Command("bash", { args: ["-c", connect] }).outputSync().success);
    await until("all have joined", () => came === ARRIVALS);
    // The slice of one turn and that of the next, which may begin before the count does.
    assert(most <= 4, `${most} in one turn`);
    await listener.shutdown();
  });
}

for (const why of ["files are needed", "their time is over"] as const) {
  Deno.test(`strangers that end because ${why} end over many turns`, async () => {
    let now_ms = 0;
    let ended = 0;
    let most = 0;
    let together = 0;
    const endTurn = () => together = 0;
    const arrivals = new Arrivals({ ...LIMITS, strangers: ARRIVALS }, () => now_ms, true);
    const stream = {
      close() {
        ended++;
        now_ms++;
        if (together++ === 0) setImmediate(endTurn);
        most = Math.max(most, together);
      },
    };
    const come = (index: number) => {
      const arrival = new Arrival(stream, `${index}`, false);
      arrivals.add(arrival);
      arrivals.enter(arrival, "head");
      return arrival;
    };
    // Half of them are rejected, and their request is awaited.
    const all = Array.from({ length: ARRIVALS }, (_, index) => come(index));
    for (let turns = 0; turns < 4; turns++) await turn();
    all.push(...Array.from({ length: ARRIVALS }, (_, index) => come(ARRIVALS + index)));
    for (let turns = 0; turns < 4; turns++) await turn();
    assert.equal(ended, 0);
    if (why === "files are needed") {
      assert(arrivals.makeRoom());
      assert.equal(ended, 1);
      await until("all that are turned away have ended", () => ended === ARRIVALS);
    } else {
      now_ms += LIMITS.head_ms;
      arrivals.sweep();
      await until("all have ended", () => ended === all.length);
    }
    assert(most <= 4, `${most} in one turn`);
    for (const arrival of all) arrivals.remove(arrival);
  });
}
