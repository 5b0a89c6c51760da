/** The wire's own small reader finds the same bytes as the protocol's. */
import assert from "node:assert/strict";
import { writeEnvelope } from "@arqon/proto";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { eventData, fieldBody, templateOf } from "./wire_arqon.ts";

Deno.test("the data of any event is found, behind headers and before later fields", () => {
  const text = fc.string({ maxLength: 40 });
  const data = fc.uint8Array({ maxLength: 400 });
  fc.assert(fc.property(text, text, text, data, (trace_id, type, content_type, data) => {
    const event = { type, data, content_type, schema_id: "" };
    const headers = { [trace_id]: type };
    const envelope = writeEnvelope({ trace_id, room_id: "room", timestamp_ms: 3, headers, event });
    const found = eventData(envelope, 0, envelope.length);
    assert.deepEqual(found ?? new Uint8Array(), data);
  }));
});

Deno.test("an envelope without an event has none", () => {
  const envelope = writeEnvelope({ room_id: "room", command: { name: "history.get" } });
  assert.equal(eventData(envelope, 0, envelope.length), undefined);
});

Deno.test("a body as a field of a message is what a schema reads, and is found again", () => {
  for (const size_bytes of [1, 127, 128, 300, 20_000]) {
    const body = crypto.getRandomValues(new Uint8Array(size_bytes));
    const { frame, at } = templateOf("room", size_bytes, true);
    frame.set(body, at);
    const data = eventData(frame, 1, frame.length);
    assert.ok(data !== undefined);
    assert.deepEqual(fieldBody(data), body);
    const reader = new BinaryReader(data);
    assert.deepEqual(reader.tag(), [1, WireType.LengthDelimited]);
    assert.deepEqual(reader.bytes(), body);
    assert.equal(reader.pos, reader.len);
  }
});
