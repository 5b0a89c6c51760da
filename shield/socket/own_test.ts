/** What only our own sockets do: rests, turns, one write for many frames. */
import assert from "node:assert/strict";
import { until } from "./conformance.ts";
import { BINARY, rawFrame, RawPeer } from "./conformance_peer.ts";
import type { ClientSocket } from "./client_socket.ts";
import { serveOwn } from "./test_host.ts";

/** What happens to the messages of one socket, which are all binary here. */
type OnMessage = (socket: ClientSocket, message: Uint8Array) => void;

const serve = (onMessage: OnMessage) =>
  serveOwn((socket, data) => onMessage(socket, new Uint8Array(data as ArrayBuffer)));

const settings = { sanitizeOps: false, sanitizeResources: false };

Deno.test({
  name: "a socket that rests reads nothing, and afterwards everything in its order",
  ...settings,
  async fn() {
    const seen: number[] = [];
    let rested_ms = 0;
    await using served = await serve((socket, [value = -1]) => {
      if (value === 1) rested_ms = performance.now() - rested_ms;
      seen.push(value);
      if (value !== 0) return;
      socket.rest(300);
      rested_ms = performance.now();
    });
    using peer = await RawPeer.connect(served.url);
    const frames = [0, 1, 2].flatMap((value) => [...rawFrame(BINARY, new Uint8Array([value]))]);
    await peer.write(new Uint8Array(frames));
    await until(() => seen.length === 3, "all messages");
    assert.deepEqual(seen, [0, 1, 2]);
    assert(rested_ms >= 299, `${rested_ms} ms`);
  },
});

Deno.test({
  name: "who floods gives way: another's message comes between its own",
  ...settings,
  async fn() {
    // The one who floods has all its frames at the server before the other sends one.
    const order: number[] = [];
    await using served = await serve((_socket, [value = -1]) => void order.push(value));
    using flooder = await RawPeer.connect(served.url);
    using other = await RawPeer.connect(served.url);
    const one = rawFrame(BINARY, new Uint8Array([1]));
    const many = new Uint8Array(one.length * 20_000);
    for (let at = 0; at < many.length; at += one.length) many.set(one, at);
    const flooding = flooder.write(many);
    await until(() => order.length > 0, "the flood");
    await other.write(rawFrame(BINARY, new Uint8Array([2])));
    await flooding;
    await until(() => order.length === 20_001, "everything");
    assert.notEqual(order.at(-1), 2);
  },
});

Deno.test({
  name: "what is sent in one turn leaves in its order, to a reader that is slow too",
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
