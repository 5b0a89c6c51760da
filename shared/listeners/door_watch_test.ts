/** A port that does not answer: reported, reopened, given up. Real listeners and connections. */
import assert from "node:assert/strict";
import { until } from "../testing/until.ts";
import { DoorWatch, Inconclusive } from "./door_watch.ts";
import { probe } from "./door_probe.ts";
import { listenClient } from "./listen.ts";
import { testCertificate } from "./testing/certificate.ts";
import { freePort } from "../../tests/harness/free_ports.ts";

const HOST = "127.0.0.1";
/** How long a working port may take to answer on a busy machine. */
const EVERY_MS = 250;

function watch(
  port: number,
  { reopen = () => Promise.resolve(), onGone = () => {}, gone_ms = 600_000 }: {
    reopen?: () => Promise<void>;
    onGone?: (detail: string) => void;
    gone_ms?: number;
  } = {},
): DoorWatch {
  return new DoorWatch({
    url: `http://${HOST}:${port}`,
    async ask(timeout_ms) {
      await probe({ host: HOST, port, tls: false, proxied: false, path: "/", timeout_ms });
    },
    reopen,
    onGone,
    every_ms: EVERY_MS,
    gone_ms,
    now: Date.now,
    monotonic_ms: () => performance.now(),
  });
}

for (const websocket of ["native", "own"] as const) {
  for (const secure of [false, true]) {
    Deno.test(`a listener is asked as a client would (${websocket}${secure ? ", TLS" : ""})`, async () => {
      const listener = await listenClient({
        name: "client",
        host: HOST,
        port: 0,
        websocket,
        ...(secure ? { tls: await testCertificate() } : {}),
        handler: (request) =>
          new Response(null, { status: request.url.endsWith("/a") ? 204 : 404 }),
      });
      const { port } = listener;
      const where = { host: HOST, port, tls: secure, proxied: false, timeout_ms: 30_000 };
      assert.equal(await probe({ ...where, path: "/a" }), 204);
      assert.equal(await probe({ ...where, path: "/b" }), 404);
      await listener.close();
      await assert.rejects(probe({ ...where, path: "/a" }), /ECONNREFUSED/);
    });

    Deno.test(`a reopened port keeps its connections, and accepts new ones (${websocket}${secure ? ", TLS" : ""})`, async () => {
      const tls = secure ? await testCertificate() : undefined;
      const listener = await listenClient({
        name: "client",
        host: HOST,
        port: 0,
        websocket,
        tls,
        handler: () => new Response("hello"),
      });
      using client = Deno.createHttpClient(tls === undefined ? {} : { caCerts: [tls.cert] });
      const ask = async () => await (await fetch(listener.url, { client })).text();
      assert.equal(await ask(), "hello");
      await listener.reopen();
      assert.equal(await ask(), "hello");
      using other = Deno.createHttpClient(tls === undefined ? {} : { caCerts: [tls.cert] });
      assert.equal(await (await fetch(listener.url, { client: other })).text(), "hello");
      assert.equal(listener.stats.reopened, 1);
      await listener.close(100);
    });
  }
}

Deno.test("an unresponsive port makes the process unready, is reopened, and is ready again", async () => {
  // The system accepts its connections, but the process does not.
  let listener: Deno.Listener = Deno.listen({ hostname: HOST, port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const watched = watch(port, {
    async reopen() {
      listener.close();
      const again = await listenClient({
        name: "client",
        host: HOST,
        port,
        websocket: "own",
        handler: () => new Response(),
      });
      listener = again as unknown as Deno.Listener;
    },
  });
  assert.equal(watched.check().ok, true);
  await until("it is notified", () => !watched.check().ok);
  assert.match(watched.check().detail, /does not answer: no answer within 250 ms$/);
  await until("it is available again", () => watched.check().ok);
  assert.match(watched.check().detail, /^http:\/\/127\.0\.0\.1:\d+ answers$/);
  assert(watched.failures >= 3);
  watched.close();
  await (listener as unknown as { close(): Promise<void> }).close();
});

Deno.test("a port that cannot be reopened is given up after a timeout", async () => {
  const { promise: gone, resolve: onGone } = Promise.withResolvers<string>();
  let tries = 0;
  const watched = watch(freePort(), {
    onGone,
    gone_ms: 10 * EVERY_MS,
    reopen() {
      tries++;
      return Promise.reject(new Error("taken"));
    },
  });
  assert.match(await gone, /^the listener at http:\/\/127\.0\.0\.1:\d+ has died: .*ECONNREFUSED/);
  assert.equal(watched.check().ok, false);
  assert(tries > 0);
});

Deno.test("a process that was stalled for longer than that asks on: its port was not silent", async () => {
  let stood_ms = 0;
  let questions = 0;
  const gone: string[] = [];
  const watched = new DoorWatch({
    url: `http://${HOST}:1`,
    ask() {
      questions++;
      // It answers once; then the process stalls, and has much to do when it continues.
      if (questions === 1) setTimeout(() => stood_ms = 60_000);
      const late = questions === 2 || questions === 3;
      return late ? Promise.reject(new Error("no answer within 250 ms")) : Promise.resolve();
    },
    reopen: () => Promise.resolve(),
    onGone: (detail) => void gone.push(detail),
    every_ms: EVERY_MS,
    gone_ms: 10_000,
    now: Date.now,
    monotonic_ms: () => performance.now() + stood_ms,
  });
  await until("it asks on", () => questions > 4);
  assert.deepEqual([gone, watched.check().ok, watched.failures], [[], true, 2]);
  watched.close();
});

Deno.test("an answer that arrived while the process was stalled is read, however late", async () => {
  const listener = await listenClient({
    name: "client",
    host: HOST,
    port: 0,
    websocket: "own",
    handler: () => new Response(null, { status: 204 }),
  });
  const { port } = listener;
  const pending = probe({
    host: HOST,
    port,
    tls: false,
    proxied: false,
    path: "/",
    timeout_ms: 500,
  });
  const until_ms = performance.now() + 750;
  while (performance.now() < until_ms);
  assert.equal(await pending, 204);
  await listener.close();
});

for (
  const reason of [
    Object.assign(new Error("connect EMFILE"), { code: "EMFILE" }),
    Object.assign(new Error("Too many open files in system"), { code: "ENFILE" }),
    new Inconclusive("closed without an answer"),
  ]
) {
  Deno.test(`a failed probe that proves nothing about the port does not abandon it (${reason.message})`, async () => {
    let questions = 0;
    const done: string[] = [];
    const watched = new DoorWatch({
      url: `http://${HOST}:1`,
      ask: () => (questions++, Promise.reject(reason)),
      reopen: () => Promise.resolve(void done.push("opened anew")),
      onGone: (detail) => void done.push(detail),
      every_ms: 10,
      gone_ms: 50,
      now: Date.now,
      monotonic_ms: () => performance.now(),
    });
    await until("it has asked for long", () => questions > 20);
    assert.deepEqual([done, watched.check().ok], [[], true]);
    assert.equal(watched.failures > 0, !(reason instanceof Inconclusive));
    watched.close();
  });
}
