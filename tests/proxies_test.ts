/**
 * Listeners of each kind behind common proxies: HAProxy with the PROXY protocol, HAProxy and nginx with
 * X-Forwarded-For. Real proxies, the HTTP client of Node and the package `ws`.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { Agent, request as nodeRequest } from "node:http";
import { WebSocket as WsClient } from "ws";
import { type ClientListener, openClientListener } from "../shared/listeners/client_listener.ts";
import { parseConfig } from "../shared/config/load.ts";
import { FileReserve } from "../shared/http1/file_reserve.ts";
import { createLogger } from "../shared/logs/log.ts";
import { createMetrics, type Registry } from "../shared/metrics/metrics.ts";
import type { SocketServer } from "../shield/socket/client_socket.ts";
import { openSockets } from "../shield/socket/open.ts";
import { startHaproxy, startNginx } from "./proxies/proxies.ts";

/** The client's own address; the proxy is at 127.0.0.1. */
const CLIENT = "127.0.0.7";
const KINDS = ["native", "own"] as const;

class Door implements AsyncDisposable {
  readonly listener: ClientListener;
  readonly registry: Registry;
  /** Its log lines. */
  readonly lines: readonly string[];
  readonly #sockets: SocketServer;

  private constructor(
    listener: ClientListener,
    registry: Registry,
    lines: readonly string[],
    sockets: SocketServer,
  ) {
    this.listener = listener;
    this.registry = registry;
    this.lines = lines;
    this.#sockets = sockets;
  }

  /** Echoes messages, and answers requests with their address, headers and body. */
  static async open(websocket: (typeof KINDS)[number], lines: string): Promise<Door> {
    const text = `[server]\nhost = "127.0.0.1"\nport = 0\nwebsocket = "${websocket}"\n${lines}`;
    const config = parseConfig(text, { file: "config.toml", defaults: {} });
    const registry = createMetrics({ node_id: "s1", version: "0" });
    const logged: string[] = [];
    const sockets = openSockets(config, registry);
    const listener = await openClientListener({
      config,
      registry,
      reserve: new FileReserve(0, undefined),
      log: createLogger({
        level: "info",
        format: "logfmt",
        component: "shield",
        now: () => 0,
        write: (line) => void logged.push(line),
      }),
      now: Date.now,
      monotonic_ms: () => performance.now(),
      nonce: "n",
      onGone() {},
      turnAway: () => new Response("turned away", { status: 503 }),
      async handler(request, { remoteAddr: { hostname } }) {
        if (request.headers.get("upgrade") === null) {
          const { length } = await request.text();
          const { method, url } = request;
          const { pathname } = new URL(url);
          return Response.json({ method, path: pathname, from: hostname, length });
        }
        const { socket, response, listen } = sockets.upgrade(request, undefined);
        listen({
          opened: () => socket.send(hostname),
          message: (data) => socket.send(typeof data === "string" ? data : new Uint8Array(data)),
          flooded() {},
          tooLong() {},
          closed() {},
        });
        return response;
      },
    });
    return new Door(listener, registry, logged, sockets);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#sockets.close();
    await this.listener.close(100);
  }
}

interface Asked {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Record<string, string>;
  /** Sent in chunks if it is a list. */
  readonly body?: string | readonly string[];
  readonly agent?: Agent;
  /** The client's address; absent: `CLIENT`. */
  readonly from?: string;
}

/** A request from the client's address, through Node's client. */
function ask(port: number, request: Asked = {}): Promise<Record<string, unknown>> {
  const { method = "GET", path = "/x", headers = {}, body, agent, from = CLIENT } = request;
  const where = { host: "127.0.0.1", port, path, localAddress: from };
  return new Promise((resolve, reject) => {
    const request = nodeRequest({ ...where, method, headers, ...(agent ? { agent } : {}) });
    request.on("error", reject);
    request.on("response", (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.on("end", () => {
        const text = Buffer.concat(parts).toString();
        if (response.statusCode !== 200) return reject(new Error(`${response.statusCode} ${text}`));
        resolve(JSON.parse(text));
      });
    });
    if (typeof body === "object") { for (const part of body) request.write(part); }
    request.end(typeof body === "string" ? body : undefined);
  });
}

/** Everything that the client's WebSocket receives until it matches what was sent. */
function talk(port: number, sent: readonly string[]): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const received: string[] = [];
    const options = { localAddress: CLIENT, headers: { "x-forwarded-for": "203.0.113.66" } };
    const socket = new WsClient(`ws://127.0.0.1:${port}/socket`, options);
    socket.on("error", reject);
    socket.on("open", () => {
      for (const text of sent) socket.send(text);
    });
    socket.on("message", (data: Uint8Array) => {
      received.push(Buffer.from(data).toString());
      if (received.length <= sent.length) return;
      socket.close();
    });
    socket.on("close", () => resolve(received));
  });
}

/** Must hold behind every proxy. */
async function works(port: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const lie = { headers: { "x-forwarded-for": "203.0.113.66", forwarded: "for=203.0.113.67" } };
  try {
    for (let count = 0; count < 5; count++) {
      const { from, path } = await ask(port, { ...lie, agent, path: `/x/${count}` });
      assert.deepEqual([from, path], [CLIENT, `/x/${count}`]);
    }
    const body = "b".repeat(200_000);
    const posted = await ask(port, { agent, method: "POST", body });
    assert.deepEqual([posted.from, posted.length, posted.method], [CLIENT, body.length, "POST"]);
    const chunked = await ask(port, { agent, method: "PUT", body: [body, body, "end"] });
    assert.deepEqual([chunked.length, chunked.method], [2 * body.length + 3, "PUT"]);
    const empty = await ask(port, { agent, method: "DELETE" });
    assert.deepEqual([empty.length, empty.method], [0, "DELETE"]);
    const waits = { expect: "100-continue", "content-length": "6" };
    assert.equal((await ask(port, { method: "POST", headers: waits, body: "waited" })).length, 6);
  } finally {
    agent.destroy();
  }
  const messages = ["one", "t".repeat(50_000), "three"];
  assert.deepEqual(await talk(port, messages), [CLIENT, ...messages]);
}

for (const websocket of KINDS) {
  Deno.test(`HAProxy with the PROXY protocol: addresses, bodies, keep-alive, WebSockets (${websocket})`, async () => {
    const lines = 'trusted_proxies = ["127.0.0.1"]\nproxy_protocol = true\n';
    await using door = await Door.open(websocket, lines);
    await using proxy = await startHaproxy(door.listener.port, "proxy-v2");
    await works(proxy.port);
    // A client that is not a proxy sends no header: its first bytes are a request.
    assert.equal((await ask(door.listener.port)).from, CLIENT);
  });

  for (
    const [name, start] of [
      ["HAProxy", (port: number) => startHaproxy(port, "forwarded-for")],
      ["nginx", startNginx],
    ] as const
  ) {
    Deno.test(`${name} with X-Forwarded-For: addresses, bodies, keep-alive, WebSockets (${websocket})`, async () => {
      await using door = await Door.open(websocket, 'trusted_proxies = ["127.0.0.1"]\n');
      await using proxy = await start(door.listener.port);
      await works(proxy.port);
      const lie = { headers: { "x-forwarded-for": "203.0.113.66" } };
      assert.equal(
        (await ask(door.listener.port, lie)).from,
        CLIENT,
        "who is no proxy may say anything",
      );
      assert.doesNotMatch(door.lines.join(""), /is not trusted/);
    });
  }
}

for (const websocket of KINDS) {
  Deno.test(`without trusted_proxies a proxy's address is everybody's, which is said once (${websocket})`, async () => {
    await using door = await Door.open(websocket, "");
    await using proxy = await startNginx(door.listener.port);
    const counted = () => door.registry.getSingleMetricAsString("shield_unseen_clients_total");
    const warnings = () => door.lines.filter((line) => line.includes("trusted_proxies"));
    for (const from of ["127.0.0.7", "127.0.0.7", "127.0.0.7"]) {
      assert.equal((await ask(proxy.port, { from })).from, "127.0.0.1");
    }
    assert.deepEqual(warnings(), [], "one client is one address");
    for (const from of ["127.0.0.8", "127.0.0.9", "127.0.0.9"]) {
      assert.equal((await ask(proxy.port, { from })).from, "127.0.0.1");
    }
    assert.match(await counted(), /^shield_unseen_clients_total(?:\{[^}]*\})? 2$/m);
    assert.equal(warnings().length, 1);
    assert.match(warnings()[0] ?? "", /level=warn .*peer=127\.0\.0\.1 header=x-forwarded-for/);
  });
}

Deno.test("a trusted proxy that names its clients in the other header is noticed, too", async () => {
  const lines = 'trusted_proxies = ["127.0.0.1"]\nforwarded_header = "forwarded"\n';
  await using door = await Door.open("own", lines);
  await using proxy = await startNginx(door.listener.port);
  for (const from of ["127.0.0.8", "127.0.0.9"]) {
    assert.equal((await ask(proxy.port, { from })).from, "127.0.0.1");
  }
  assert.match(door.lines.join(""), /is not trusted/);
});

Deno.test("a trusted proxy has to send its PROXY header", async () => {
  const lines = 'trusted_proxies = ["127.0.0.1"]\nproxy_protocol = true\n';
  await using door = await Door.open("own", lines);
  await using proxy = await startHaproxy(door.listener.port, "forwarded-for");
  await assert.rejects(ask(proxy.port), /50[23]/);
});
