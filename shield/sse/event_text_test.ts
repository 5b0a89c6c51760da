/** Events of text frames: names, offsets, lines; the real encoder makes the frames. */
import assert from "node:assert/strict";
import { encodeTextMessage, type PlainEnvelope } from "@arqon/proto";
import { eventBytes, factsOf } from "./event_text.ts";

const ENVELOPE: PlainEnvelope = {
  room_id: "r~1:a",
  sender_id: "ann",
  timestamp_ms: 5,
  headers: {},
  tenant_id: "t",
  trace_id: "",
  message_id: "",
  request_id: 0,
  ack_requested: false,
  event: { type: "t", data: new TextEncoder().encode("1"), content_type: "", schema_id: "" },
} as unknown as PlainEnvelope;

const facts = (more: object) => factsOf(encodeTextMessage({ ...ENVELOPE, ...more }));

Deno.test("a message's room and offset are read from its frame, whatever its texts contain", () => {
  assert.deepEqual(facts({}), { room_id: "r~1:a", offset: 0, name: "message" });
  assert.equal(facts({ offset: 12 }).offset, 12);
  assert.equal(facts({ offset: 12, signature: new Uint8Array(64).fill(255) }).offset, 12);
  assert.equal(facts({ message_id: ',"offset":7}' }).offset, 0);
  assert.equal(facts({ headers: { a: ',"offset":7' } }).offset, 0);
  const fake = new TextEncoder().encode('{"a":1,"offset":7}');
  const event = { type: "t", data: fake, content_type: "", schema_id: "" };
  assert.equal(facts({ event }).offset, 0);
});

Deno.test("signals have names of their own", () => {
  const signal = (kind: string, offset = 0) => {
    const { event: _, ...rest } = ENVELOPE;
    const given = { kind, target: "r", reason: "", until_ms: 0 };
    return factsOf(encodeTextMessage({ ...rest, offset, signal: given } as PlainEnvelope));
  };
  assert.deepEqual(signal("GAP"), { room_id: "r~1:a", offset: 0, name: "gap" });
  assert.deepEqual(signal("DRAIN"), { room_id: "r~1:a", offset: 0, name: "signal" });
  assert.equal(signal("GAP", 12).offset, 12, "a stored message that cannot be read");
  assert.equal(signal("DISCONNECT", 12).offset, 12, "stored as its publisher sent it");
});

Deno.test("JSON on several lines stays the same JSON", () => {
  const json = '{"a":\r\n1,\r"b":\n2}';
  const text = new TextDecoder().decode(eventBytes("message", json));
  assert.equal(text, 'data: {"a":\ndata: 1,\ndata: "b":\ndata: 2}\n\n');
  const joined = text.trimEnd().split("\n").map((line) => line.slice(6)).join("\n");
  assert.deepEqual(JSON.parse(joined), JSON.parse(json));
});
