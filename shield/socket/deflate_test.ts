/** Compressed messages: the negotiation, and other implementations' clients. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { WebSocket as WsClient } from "ws";
import { until } from "../../shared/testing/until.ts";
import { rawFrame, RawPeer } from "./testing/conformance_peer.ts";
import { agreeOnDeflate, deflate, inflate } from "./deflate.ts";
import { serveOwn } from "./testing/host.ts";

const BOTH = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

Deno.test("the first acceptable offer is chosen, without context takeover", () => {
  const answers: readonly (readonly [offered: string | null, answer: string | undefined])[] = [
    [null, undefined],
    ["", undefined],
    ["permessage-deflate", BOTH],
    ["x-webkit-deflate-frame, Permessage-Deflate; client_max_window_bits", BOTH],
    ["permessage-deflate; client_max_window_bits=10", BOTH],
    ['permessage-deflate; server_max_window_bits="10"', `${BOTH}; server_max_window_bits=10`],
    ["permessage-deflate; server_max_window_bits=8, permessage-deflate", BOTH],
    ["permessage-deflate; server_max_window_bits=8", undefined],
    ["permessage-deflate; server_max_window_bits", undefined],
    ["permessage-deflate; server_max_window_bits=16", undefined],
    ["permessage-deflate; server_max_window_bits=010", undefined],
    ["permessage-deflate; unknown", undefined],
    ["permessage-deflate; client_no_context_takeover=1", undefined],
    ["permessage-deflate; client_max_window_bits; client_max_window_bits", undefined],
  ];
  for (const [offered, answer] of answers) {
    assert.equal(agreeOnDeflate(offered)?.answer, answer, `${offered}`);
  }
});

Deno.test("deflated data inflates to itself, within its limit, with any window", () => {
  const body = fc.uint8Array({ maxLength: 2_000, size: "max" });
  fc.assert(fc.property(body, fc.integer({ min: 9, max: 15 }), (bytes, window_bits) => {
    const repeated = new Uint8Array([...bytes, ...bytes, ...bytes]);
    const small = deflate(repeated, window_bits);
    if (small === undefined) return;
    assert.deepEqual(inflate(small, repeated.length), repeated);
    assert.equal(inflate(small, repeated.length - 1), "too-large");
  }));
  assert.equal(inflate(new Uint8Array([1, 2, 3]), 100), "malformed");
});

/** Sends back what comes. */
const serve = () =>
  serveOwn(
    (socket, data) => socket.send(typeof data === "string" ? data : new Uint8Array(data)),
    { deflate: { from_bytes: 100, inflated_bytes_max: 50_000 } },
  );

const settings = { sanitizeOps: false, sanitizeResources: false };

Deno.test({
  name: "the package ws as a client gets back what it sends, compressed or not, short and long",
  ...settings,
  async fn() {
    await using served = await serve();
    const client = new WsClient(served.url.replace("http", "ws"), { perMessageDeflate: true });
    const echoes: string[] = [];
    client.on("message", (data: { toString(): string }) => void echoes.push(data.toString()));
    await new Promise((resolve, reject) => client.on("open", resolve).on("error", reject));
    assert.match(client.extensions, /permessage-deflate/);
    const messages = ["short", "long ".repeat(5_000), "", "grüße ".repeat(500)];
    for (const message of messages) client.send(message);
    await until("the echoes", () => echoes.length === messages.length);
    assert.deepEqual(echoes, messages);
    client.terminate();
  },
});

Deno.test({
  name: "a small message that inflates beyond the limit ends with 1009, an invalid one with 1007",
  ...settings,
  async fn() {
    await using served = await serve();
    const offer = ["Sec-WebSocket-Extensions: permessage-deflate"];
    const small = deflate(new Uint8Array(50_001), 15) as Uint8Array<ArrayBuffer>;
    assert(small.length < 1_000);
    for (const [body, code] of [[small, 1009], [new Uint8Array([1, 2, 3]), 1007]] as const) {
      using peer = await RawPeer.connect(served.url, offer);
      const frame = rawFrame(0x2, body);
      frame[0] = 0xc2;
      await peer.write(frame);
      assert.equal(await peer.closeCode(), code);
    }
    // Without a negotiated extension a client may set no reserved bit.
    using peer = await RawPeer.connect(served.url);
    const frame = rawFrame(0x2, small);
    frame[0] = 0xc2;
    await peer.write(frame);
    assert.equal(await peer.closeCode(), 1002);
  },
});
