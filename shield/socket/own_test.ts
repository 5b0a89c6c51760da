/** What only our own sockets do: one write for many frames of a turn. */
import assert from "node:assert/strict";
import { BINARY, rawFrame, RawPeer } from "./testing/conformance_peer.ts";
import type { ClientSocket } from "./client_socket.ts";
import { serveOwn } from "./testing/host.ts";

/** What happens to the messages of one socket, which are all binary here. */
type OnMessage = (socket: ClientSocket, message: Uint8Array) => void;

const serve = (onMessage: OnMessage) =>
  serveOwn((socket, data) => onMessage(socket, data as Uint8Array));

const settings = { sanitizeOps: false, sanitizeResources: false };

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
