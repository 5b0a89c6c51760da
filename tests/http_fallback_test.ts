/**
 * The SDK where WebSocket does not go: nginx and HAProxy that pass no upgrade on, sockets that are cut off
 * soon, a platform without WebSocket; and what is remembered of it.
 */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import type { ConnectOptions, Message, SocketLike } from "@arqon/sdk";
import { connect as connectEitherWay } from "@arqon/sdk/http";
import { fallbackSocket } from "../sdk/typescript/http/fallback_socket.ts";
import type { Memory } from "../sdk/typescript/http/fallback_socket.ts";
import { until } from "../shared/testing/until.ts";
import { startBus } from "./harness/bus.ts";
import type { TestBus } from "./harness/bus.ts";
import { startHaproxy, startNginx } from "./proxies/proxies.ts";

async function one(heard: AsyncIterable<Message>): Promise<unknown> {
  for await (const message of heard) return message.json();
  return undefined;
}

/** As nginx is where nobody has thought of WebSocket: it passes no upgrade on. */
const NO_UPGRADE = `
      location /v1/socket {
        proxy_pass http://shields;
        proxy_set_header Host $host;
      }`;

/** Counts what it makes. */
function counted(): { readonly webSocket: typeof WebSocket; readonly count: () => number } {
  let count = 0;
  class Counted extends WebSocket {
    constructor(...args: ConstructorParameters<typeof WebSocket>) {
      super(...args);
      count++;
    }
  }
  return { webSocket: Counted as typeof WebSocket, count: () => count };
}

async function talks(bus: TestBus, port: number): Promise<void> {
  const url = `http://127.0.0.1:${port}`;
  const { webSocket, count } = counted();
  await using first = await connect({ url, token: bus.token, webSocket, transport: "auto" });
  await using heard = first.room("lobby").subscribe({ presence: true });
  await heard.ready;
  await until("it is there itself", () => heard.presence.members.size === 1);
  await first.room("lobby").publish("t", 1);
  assert.equal(await one(heard), 1);
  assert.equal(count(), 1);
  await using second = await connectEitherWay({ url, token: bus.token, webSocket });
  await second.room("lobby").publish("t", 2);
  assert.equal(count(), 1, "what was found is remembered");
  for (const transport of ["websocket", undefined] as const) {
    const only = connect({ url, token: bus.token, ...transport && { transport } });
    await assert.rejects(only, { reason: "unreachable" });
  }
  const wrong = { url, token: bus.token, transport: "udp" } as unknown as ConnectOptions;
  await assert.rejects(connect(wrong), { name: "TypeError", message: 'transport "udp"' });
  await using http = await connect({ url, token: bus.token, webSocket, transport: "http" });
  await http.room("lobby").publish("t", 3);
  assert.equal(count(), 1);
}

async function isTriedAgain(bus: TestBus, port: number): Promise<void> {
  let elapsed_ms = 1_000;
  const memory: Memory = { origins: new Map(), elapsed: () => elapsed_ms };
  const { webSocket, count } = counted();
  const kind = fallbackSocket(webSocket, memory);
  const open = async (to: number, token = bus.token) => {
    const url = `http://127.0.0.1:${to}`;
    await using connection = await connect({
      ...{ url, token, webSocket: kind, transport: "websocket" },
    });
    await connection.room("lobby").publish("t", 1);
    return count();
  };
  assert.equal(await open(port), 1);
  elapsed_ms += 599_000;
  assert.equal(await open(port), 1);
  elapsed_ms += 2_000;
  assert.equal(await open(port), 2);
  const direct = Number(new URL(bus.http_url).port);
  assert.deepEqual(
    [await open(direct), await open(direct)],
    [3, 4],
    "another origin has WebSocket",
  );
  await assert.rejects(open(direct, "e30.e30.c2ln"), { reason: "token-malformed" });
  assert.equal(await open(direct), 6, "a refused token says nothing of WebSocket");
}

/** A WebSocket that something cuts off once the Shield has spoken. */
class CutSocket implements SocketLike {
  static count = 0;
  binaryType = "arraybuffer";
  readonly bufferedAmount = 0;
  onmessage: SocketLike["onmessage"] = null;
  onerror: SocketLike["onerror"] = null;
  onclose: SocketLike["onclose"] = null;
  readonly #socket: WebSocket;

  constructor(url: string, protocols: string[]) {
    CutSocket.count++;
    this.#socket = new WebSocket(url, protocols);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onmessage = ({ data }) => {
      this.#socket.close();
      this.onmessage?.({ data });
      this.onclose?.({ code: 1006, reason: "" });
    };
  }

  send(): void {}

  close(): void {}
}

async function isGivenUp(bus: TestBus): Promise<void> {
  const memory: Memory = { origins: new Map(), elapsed: () => 1_000 };
  await using connection = await connect({
    url: bus.http_url,
    token: bus.token,
    transport: "websocket",
    webSocket: fallbackSocket(CutSocket, memory),
    backoff: { base_ms: 1, max_ms: 2 },
  });
  await until(
    "two have broken",
    () => CutSocket.count === 2 && connection.status.state === "open",
  );
  await connection.room("lobby").publish("t", 1);
  assert.equal(CutSocket.count, 2);
}

Deno.test("the SDK goes by HTTP where WebSocket does not open", async (t) => {
  await using bus = await startBus();
  const port = Number(new URL(bus.http_url).port);
  await using nginx = await startNginx(port, false, NO_UPGRADE);
  await using haproxy = await startHaproxy(port, "no-upgrade");
  await t.step("behind nginx without upgrade headers", () => talks(bus, nginx.port));
  await t.step("behind HAProxy without upgrade headers", () => talks(bus, haproxy.port));
  await t.step("WebSocket is tried again later", () => isTriedAgain(bus, nginx.port));
  await t.step("where each WebSocket is cut off soon", () => isGivenUp(bus));
  await t.step("on a platform without WebSocket", async () => {
    const webSocket = fallbackSocket(undefined);
    await using connection = await connect({ url: bus.http_url, token: bus.token, webSocket });
    await connection.room("lobby").publish("t", 1);
  });
  await t.step("another transport is a mistake", async () => {
    const options = { url: bus.http_url, token: bus.token, transport: "udp" as "http" };
    await assert.rejects(connect(options), { name: "TypeError", message: 'transport "udp"' });
  });
});
