/** Properties of our own sockets only: one write for many frames of a turn, small turns for flooding peers. */
import assert from "node:assert/strict";
import { writeAll } from "../../shared/http1/byte_stream.ts";
import { BINARY, rawFrame, RawPeer } from "./testing/conformance_peer.ts";
import type { ClientSocket } from "./client_socket.ts";
import { serveOwn } from "./testing/host.ts";
import { TURN_FRAMES } from "../../shared/turns/fair_turns.ts";
import { until } from "../../shared/testing/until.ts";

/** The handler of one socket's messages, which are all binary here. */
type OnMessage = (socket: ClientSocket, message: Uint8Array) => void;

/** With this fixed clock a share is counted in messages. */
const standing_ms = performance.now();
const serve = (onMessage: OnMessage) =>
  serveOwn((socket, data) => onMessage(socket, data as Uint8Array), { now_ms: () => standing_ms });

const FLOOD = 2_000;
const NOTHING = new Uint8Array(0);

/** That many empty messages as one piece. */
function repeated(count: number): Uint8Array<ArrayBuffer> {
  const one = rawFrame(BINARY, NOTHING);
  const all = new Uint8Array(one.length * count);
  for (let at = 0; at < all.length; at += one.length) all.set(one, at);
  return all;
}

/** Counts the most messages between two turns of the event loop, until `end` is called. */
function turnCounter(): { count(): void; readonly most: number; end(): void } {
  let most = 0;
  let now = 0;
  let counting = true;
  const turn = () => {
    now = 0;
    if (counting) setImmediate(turn);
  };
  turn();
  return {
    count: () => most = Math.max(most, ++now),
    get most() {
      return most;
    },
    end: () => counting = false,
  };
}

const settings = { sanitizeOps: false, sanitizeResources: false };

Deno.test({
  name: "frames sent in one turn leave in order, also to a slow reader",
  ...settings,
  async fn() {
    await using served = await serve((socket, [count = 0]) => {
      for (let value = 0; value < count; value++) {
        socket.send(new Uint8Array(10_000).fill(value));
        socket.send(`${value}`);
      }
    });
    using peer = await RawPeer.connect(served.url);
    await peer.write(rawFrame(BINARY, new Uint8Array([200])));
    for (let value = 0; value < 200; value++) {
      assert.deepEqual((await peer.frame())?.body, new Uint8Array(10_000).fill(value));
      assert.equal(new TextDecoder().decode((await peer.frame())?.body), `${value}`);
    }
  },
});

Deno.test({
  name:
    "a peer with messages left after a rest gets a small share of each turn, until they are delivered",
  ...settings,
  async fn() {
    const counts = [turnCounter(), turnCounter()];
    const { promise: flooded, resolve: onFlooded } = Promise.withResolvers<void>();
    let received = 0;
    await using served = await serve((socket) => {
      // Longer than a busy machine needs for the rest of this read.
      if (received++ === 0) socket.rest(200);
      counts[received > 1 + FLOOD ? 1 : 0]?.count();
      if (received === 1 + FLOOD) onFlooded();
    });
    using peer = await RawPeer.connect(served.url);
    await peer.write(rawFrame(BINARY, NOTHING));
    await peer.write(repeated(FLOOD));
    await flooded;
    counts[0]?.end();
    const small = counts[0]?.most ?? Infinity;
    assert(small <= TURN_FRAMES / 2, `${small} in one turn`);
    // A read of less than a share ends it.
    await peer.write(rawFrame(BINARY, NOTHING));
    await until("the pause", () => received === 2 + FLOOD);
    await peer.write(repeated(FLOOD));
    await until("all", () => received === 2 + 2 * FLOOD);
    counts[1]?.end();
    const large = counts[1]?.most ?? 0;
    assert(large >= TURN_FRAMES, `${large} in one turn`);
  },
});

Deno.test({
  name: "a peer that is still sending refused data can read the refusal",
  ...settings,
  async fn() {
    await using served = await serveOwn(() => {});
    using peer = await RawPeer.connect(served.url);
    const head = 14;
    const rest = new Uint8Array(1_000);
    await peer.write(rawFrame(BINARY, new Uint8Array(2_000_000)).subarray(0, head));
    const begun_ms = performance.now();
    // Longer than the time of a silent peer. A reset would make a write fail, or discard the close frame.
    await until("it has sent for long", async () => {
      await peer.write(rest);
      return performance.now() - begun_ms > 2_000;
    });
    assert.equal(await peer.closeCode(), 1009);
  },
});

Deno.test({
  name: "a message that meets a bug ends its connection, also if it directly follows the request",
  ...settings,
  async fn() {
    await using served = await serve(() => {
      throw new Error("a bug");
    });
    const { hostname, port } = new URL(served.url);
    using conn = await Deno.connect({ hostname, port: Number(port) });
    const head = [
      "GET / HTTP/1.1",
      `Host: ${hostname}`,
      "Upgrade: websocket",
      "Connection: Upgrade",
      "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
      "Sec-WebSocket-Version: 13",
    ];
    const request = new TextEncoder().encode(`${head.join("\r\n")}\r\n\r\n`);
    await writeAll(conn, new Uint8Array([...request, ...rawFrame(BINARY, NOTHING)]));
    let ended = false;
    const reading = (async () => {
      const into = new Uint8Array(1_024);
      while (await conn.read(into).catch(() => null) !== null);
      ended = true;
    })();
    await until("the end", () => ended);
    await reading;
  },
});

Deno.test({
  name: "a bug at one socket's end does not affect the end of others",
  ...settings,
  async fn() {
    const bugs: unknown[] = [];
    const onBug = (event: PromiseRejectionEvent) => {
      event.preventDefault();
      bugs.push(event.reason);
    };
    globalThis.addEventListener("unhandledrejection", onBug);
    const sockets = new Set<ClientSocket>();
    let ends = 0;
    const end = (socket: ClientSocket) => {
      sockets.add(socket);
      if (sockets.size === 3) { for (const each of sockets) each.terminate(); }
    };
    await using served = await serveOwn(end, {
      onClosed() {
        if (++ends === 1) throw new Error("a bug");
      },
    });
    for (let count = 0; count < 3; count++) {
      const peer = await RawPeer.connect(served.url);
      await peer.write(rawFrame(BINARY, NOTHING));
    }
    await until("all three", () => ends === 3);
    await until("the bug is reported", () => bugs.length === 1);
    globalThis.removeEventListener("unhandledrejection", onBug);
  },
});
