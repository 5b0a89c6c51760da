/**
 * A client that stops reading and continues later, in a room that does not disconnect it, by the SDK; and a client that
 * sends and reads nothing. `why_test.ts` has the same by hand, the reader `slow` of `tests/model` covers `latest`,
 * `sse_test.ts` covers readers over HTTP.
 */
import assert from "node:assert/strict";
import { encodePub, encodeSub, Opcode, writeEnvelope } from "@arqon/proto";
import type { Uint64 } from "@arqon/proto";
import { connect } from "@arqon/sdk";
import { history } from "@arqon/sdk/history";
import { standsStill } from "../shared/testing/until.ts";
import { BINARY, rawFrame, RawPeer } from "../shield/socket/testing/conformance_peer.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { numberOf, publishUntil, SLOW_LIMITS } from "./harness/slow_reader.ts";
import { proxied } from "./harness/tcp_proxy.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = `
[limits]${SLOW_LIMITS}
${durableRooms("log-drop-*", 'slow_reader = "drop-oldest"')}
`;

Deno.test("drop-oldest in a durable room: the SDK's loop has the GAP and goes on, and the history has the rest", async () => {
  await using bus = await startLocalBus(CONFIG);
  const { proxy, url } = proxied(bus);
  await using _proxy = proxy;
  await using connection = await connect({ url, token: bus.token });
  const room = connection.room("log-drop-sdk");
  const messages = room.subscribe();
  await messages.ready;
  proxy.pause();
  const sent = await publishUntil(bus, "log-drop-sdk", "dropped");
  proxy.resume();
  let before: Uint64 = 0;
  let missing: { readonly after: Uint64; readonly before: Uint64 } | undefined;
  let gap_after: Uint64 | undefined;
  for await (const { signal, offset, message_id } of messages) {
    if (signal !== undefined) {
      assert.deepEqual([signal.kind, signal.reason], ["GAP", "slow-consumer"]);
      gap_after = before;
      continue;
    }
    if (gap_after !== undefined) missing ??= { after: gap_after, before: offset };
    before = offset;
    if (numberOf(message_id) === sent) break;
  }
  assert.ok(missing !== undefined, "a GAP, and messages behind it");
  const page = await history(room, { after: missing.after, limit: 1 });
  const first = page.messages[0]?.offset ?? 0;
  assert.ok(first > missing.after && first < missing.before, "what it missed can be had");
});

// A client that publishes to a room that it is subscribed to, and reads nothing meanwhile: with back-pressure, it waits
// at its own end and gets everything afterwards; it is not closed as a slow reader.

/** Twice the limit of one connection's queue, and more than the kernel's loopback buffers. */
const MESSAGES = 400;

const SENT_BYTES = 100_000;

Deno.test("a client that does not read is not read (own)", async () => {
  await using bus = await startLocalBus('[server]\nwebsocket = "own"\n');
  const headers = [`Authorization: Bearer ${bus.token}`, "Sec-WebSocket-Protocol: arqon.v1"];
  using peer = await RawPeer.connect(bus.url.replace(/^ws/, "http"), headers);
  assert.match(peer.head, /^HTTP\/1\.1 101 /);
  await peer.write(rawFrame(BINARY, encodeSub({ room_id: "echo" })));
  const event = { type: "t", data: new Uint8Array(SENT_BYTES), content_type: "", schema_id: "" };
  const message = rawFrame(BINARY, encodePub(writeEnvelope({ room_id: "echo", event })));
  let written = 0;
  const writing = (async () => {
    for (; written < MESSAGES; written++) await peer.write(message);
  })();
  await standsStill(() => written);
  assert(written < MESSAGES, "everything was taken");
  let received = 0;
  while (received < MESSAGES) {
    const frame = await peer.frame();
    assert.equal(frame?.opcode, BINARY, "it was closed");
    if (frame?.body[0] === Opcode.MSG) received++;
    else assert.equal(frame?.body[0], Opcode.WELCOME);
  }
  await writing;
});
