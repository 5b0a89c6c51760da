/** A message from the Spine is sent to a socket without another copy. */
import assert from "node:assert/strict";
import { encodeMsg, encodeMsgAt } from "@arqon/proto";
import { BINARY, encodeFrame, frameAround } from "../socket/frame_head.ts";
import { passingCopy } from "./channel.ts";

Deno.test("a copied message is its own frame, and the WebSocket's, without another copy", () => {
  for (const size of [0, 1, 124, 125, 126, 300, 2_040, 2_048, 65_535, 70_000]) {
    const read = new Uint8Array(size + 20).map((_, at) => at);
    const envelope = read.slice(10, 10 + size);
    const copy = passingCopy(read, 10, 10 + size);
    read.fill(0);
    assert.deepEqual(copy, envelope);
    const frame = encodeMsgAt(copy, 0);
    assert.deepEqual(frame, encodeMsg(envelope));
    const wire = frameAround(BINARY, frame);
    assert.deepEqual(wire, encodeFrame(BINARY, frame));
    assert.equal(wire.buffer, copy.buffer);
  }
});
