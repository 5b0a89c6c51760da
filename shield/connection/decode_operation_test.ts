/** Messages are read in place, and the kept parts of other frames take little memory. */
import assert from "node:assert/strict";
import { encodePing, encodePub, writeEnvelope } from "@arqon/proto";
import { configFrom } from "../../shared/config/load.ts";
import { decodeOperation } from "./connection.ts";

const { limits } = configFrom({});

/** The frame in a buffer with others. */
function amongOthers(frame: Uint8Array): Uint8Array {
  const slab = new Uint8Array(16_384);
  slab.set(frame, 100);
  return slab.subarray(100, 100 + frame.length);
}

Deno.test("a message is not copied for reading, and other frames retain only their own bytes", () => {
  const event = { type: "note", data: new Uint8Array(9), content_type: "", schema_id: "" };
  const published = amongOthers(encodePub(writeEnvelope({ room_id: "hall", event })));
  const publish = decodeOperation(published, false, limits);
  assert.equal(publish.kind === "publish" && publish.envelope.bytes.buffer, published.buffer);
  const ping = decodeOperation(amongOthers(encodePing(new Uint8Array([1, 2]))), false, limits);
  assert(ping.kind === "ping");
  assert.deepEqual(ping.body, new Uint8Array([1, 2]));
  assert.equal(ping.body.buffer.byteLength, 3);
});
