/** The buffer of a stamped message: it has the received bytes, so that they are copied without a view. */
import assert from "node:assert/strict";
import { encodePub, scanEnvelope, writeEnvelope } from "@arqon/proto";
import { FrameReader, unmask } from "../socket/frame_reader.ts";
import { BINARY, encodeFrame } from "../socket/frame_head.ts";
import { kept, passing, stamp } from "./stamp.ts";

const LIMITS = { headers: 10, header_bytes: 1_000, field_bytes: 100 };
const SOURCE = {
  now: () => 1_790_000_000_123,
  random: (size_bytes: number) => new Uint8Array(size_bytes).fill(7),
};
const ANN = { tenant_id: "acme", user_id: "ann" };

/** A client's frame with this message. */
function masked(body: Uint8Array): Uint8Array<ArrayBuffer> {
  const plain = encodeFrame(BINARY, body);
  const head = plain.length - body.length;
  const frame = new Uint8Array(plain.length + 4);
  frame.set(plain.subarray(0, head));
  frame[1] = frame[1]! | 0x80;
  frame.set([1, 2, 3, 4], head);
  frame.set(body, head + 4);
  unmask(frame, head + 4, frame.length, 0x01020304);
  return frame;
}

Deno.test("a message and its stamped form share a buffer, and a copy has the same form", () => {
  let received: Uint8Array = new Uint8Array(0);
  const fail = () => assert.fail();
  const reader = new FrameReader(
    {
      pauses: false,
      message: (_opcode, body) => void (received = body),
      ping: fail,
      pong: fail,
      closed: fail,
      failed: fail,
    },
    100_000,
    false,
  );
  for (const size of [0, 1, 39, 41, 256, 1_500]) {
    const data = Uint8Array.from({ length: size }, (_none, at) => at);
    const frame = encodePub(writeEnvelope({ room_id: "lobby", event: { type: "chat", data } }));
    // A slab may end between the two.
    let shared = 0;
    for (let times = 0; times < 3; times++) {
      reader.read(masked(frame));
      const scan = scanEnvelope(received, LIMITS, 1);
      const routed = stamp(SOURCE, ANN, scan, [], SOURCE.now(), passing);
      assert.deepEqual(routed, stamp(SOURCE, ANN, scan, [], SOURCE.now(), kept));
      if (routed.buffer === received.buffer) shared++;
    }
    assert.ok(shared >= 2, `${shared} of 3 with ${size} bytes`);
  }
});
