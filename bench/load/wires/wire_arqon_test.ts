/** The wire's own small reader finds the same bytes as the protocol's. */
import assert from "node:assert/strict";
import { writeEnvelope } from "@arqon/proto";
import fc from "fast-check";
import { eventData } from "./wire_arqon.ts";

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
