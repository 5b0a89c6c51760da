/**
 * A client that sends to a room that it hears itself, and reads nothing meanwhile: where reading can
 * stop, it waits at its own end and gets everything afterwards; it is not closed as a slow reader.
 */
import assert from "node:assert/strict";
import { encodePub, encodeSub, Opcode, writeEnvelope } from "@arqon/proto";
import { standsStill } from "../shared/testing/until.ts";
import { BINARY, rawFrame, RawPeer } from "../shield/socket/testing/conformance_peer.ts";
import { startLocalBus } from "./harness/local_bus.ts";

/** Twice what may wait for one connection, and beyond what the kernel holds of loopback. */
const MESSAGES = 400;
const BODY_BYTES = 100_000;

for (const websocket of ["ws", "own"]) {
  Deno.test(`who is behind with reading is not read (${websocket})`, async () => {
    await using bus = await startLocalBus(`[server]\nwebsocket = "${websocket}"\n`);
    const headers = [`Authorization: Bearer ${bus.token}`, "Sec-WebSocket-Protocol: arqon.v1"];
    using peer = await RawPeer.connect(bus.url.replace(/^ws/, "http"), headers);
    assert.match(peer.head, /^HTTP\/1\.1 101 /);
    await peer.write(rawFrame(BINARY, encodeSub({ room_id: "echo" })));
    const event = { type: "t", data: new Uint8Array(BODY_BYTES), content_type: "", schema_id: "" };
    const message = rawFrame(BINARY, encodePub(writeEnvelope({ room_id: "echo", event })));
    let written = 0;
    const writing = (async () => {
      for (; written < MESSAGES; written++) await peer.write(message);
    })();
    await standsStill(() => written);
    assert(written < MESSAGES, "everything was taken");
    let heard = 0;
    while (heard < MESSAGES) {
      const frame = await peer.frame();
      assert.equal(frame?.opcode, BINARY, "it was closed");
      if (frame?.body[0] === Opcode.MSG) heard++;
      else assert.equal(frame?.body[0], Opcode.WELCOME);
    }
    await writing;
  });
}
