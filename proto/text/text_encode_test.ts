/** The Shield's text frames, as exact strings. */
import fc from "fast-check";
import assert from "node:assert/strict";
import { ArqonError } from "../errors/error.ts";
import { type EnvelopeInput, readEnvelope, writeEnvelope } from "../envelope/envelope.ts";
import { bytes } from "../testing/arbitraries.ts";
import {
  encodeTextAck,
  encodeTextErr,
  encodeTextMessage,
  encodeTextPing,
  encodeTextPong,
  encodeTextWelcome,
} from "./text_encode.ts";

const encoder = new TextEncoder();
const message = (input: EnvelopeInput) => encodeTextMessage(readEnvelope(writeEnvelope(input)));

function data(content_type: string, value: string | Uint8Array): string {
  const bytes = typeof value === "string" ? encoder.encode(value) : value;
  const shown = message({ room_id: "r", event: { type: "t", content_type, data: bytes } });
  const prefix = '{"op":"msg","room":"r","type":"t"';
  assert.ok(shown.startsWith(prefix), shown);
  return shown.slice(prefix.length, shown.indexOf(',"sender"'));
}

Deno.test("welcome calls the connection id connection, the rest by its Protobuf name", () => {
  const welcome = {
    connection_id: "c-1",
    user_id: "u",
    tenant_id: "acme",
    server_time_ms: 1_790_000_000_000,
    heartbeat_ms: 30_000,
    max_frame_bytes: 65_536,
    token_expires_ms: 1_790_000_900_000,
    node_id: "n",
    protocol_version: 1,
  };
  const { connection_id: connection, ...rest } = welcome;
  assert.deepEqual(JSON.parse(encodeTextWelcome(welcome)), { op: "welcome", connection, ...rest });
  assert.equal(JSON.parse(encodeTextWelcome({})).connection, "");
});

Deno.test("ack has the set members, and the result as unchanged JSON", () => {
  assert.equal(encodeTextAck({ request_id: 2 }), '{"op":"ack","id":2,"code":0}');
  assert.equal(
    encodeTextAck({
      request_id: 2n ** 60n,
      offset: 9,
      result: encoder.encode('{ "version": 1e2 }'),
    }),
    '{"op":"ack","id":"1152921504606846976","code":0,"offset":9,"result":{ "version": 1e2 }}',
  );
  assert.equal(
    encodeTextAck({
      request_id: 3,
      code: 429,
      reason: "rate-limited",
      message: 'slow "down"',
      retry_after_ms: 50,
    }),
    '{"op":"ack","id":3,"code":429,"reason":"rate-limited","message":"slow \\"down\\"",' +
      '"retry_after_ms":50}',
  );
  assert.equal(
    encodeTextAck({ request_id: 4, result: new Uint8Array([0xff]) }),
    '{"op":"ack","id":4,"code":0,"result":{"base64":"/w=="}}',
  );
});

Deno.test("err accepts an ArqonError", () => {
  assert.equal(
    encodeTextErr(new ArqonError("policy-rejected")),
    '{"op":"err","code":403,"reason":"policy-rejected","message":"Message blocked by policy"}',
  );
  const limited = new ArqonError("rate-limited", "50", { retry_after_ms: 50 });
  assert.equal(JSON.parse(encodeTextErr(limited)).retry_after_ms, 50);
  const about = { room: "lobby", action: "subscribe" };
  assert.equal(
    encodeTextErr(new ArqonError("not-granted", "subscribe in lobby", about)),
    '{"op":"err","code":403,"reason":"not-granted","message":"Not granted: subscribe in lobby",' +
      '"room":"lobby","action":"subscribe"}',
  );
});

Deno.test("msg: JSON is inserted unchanged", () => {
  const json = '{ "n": 12345678901234567890,\n "s":"\u2028" }';
  assert.equal(data("application/json", json), `,"data":${json}`);
  assert.equal(
    data("application/ld+json; v=1", "1"),
    ',"data":1,"content_type":"application/ld+json; v=1"',
  );
});

Deno.test("msg: data that is not JSON under a JSON content type becomes base64", () => {
  const broken = ',"data":{"base64":"ew=="},"content_type":"application/json"';
  assert.equal(data("application/json", "{"), broken);
  assert.match(data("application/json", new Uint8Array([0x22, 0xff, 0x22])), /base64/);
  assert.match(data("application/json", "\uFEFF1"), /base64/);
  assert.match(data("application/json", '1,"sender":"forged"'), /base64/);
});

Deno.test("msg: text is a string, bytes are base64, nothing is left out", () => {
  assert.equal(data("text/plain", 'a"b'), ',"data":"a\\"b"');
  assert.equal(data("text/plain", ""), ',"data":""');
  assert.equal(data("text/html", "<b>"), ',"data":"<b>","content_type":"text/html"');
  assert.match(data("text/plain", new Uint8Array([0xff])), /{"base64":"\/w=="}/);
  assert.equal(data("", "hi"), ',"data":{"base64":"aGk="}');
  assert.equal(data("image/png", "hi"), ',"data":{"base64":"aGk="},"content_type":"image/png"');
  assert.equal(data("", ""), "");
  assert.equal(data("application/json", ""), ',"content_type":"application/json"');
});

Deno.test("msg: an event with everything set", () => {
  assert.deepEqual(
    JSON.parse(message({
      trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
      tenant_id: "acme",
      room_id: "lobby",
      timestamp_ms: 1_790_000_000_000,
      headers: { "X-Twist-ID": "u" },
      sender_id: "ann",
      offset: 2n ** 53n,
      signature: new Uint8Array([1]),
      message_id: "m",
      event: {
        type: "chat",
        data: encoder.encode("{}"),
        content_type: "application/json",
        schema_id: "s",
      },
    })),
    {
      op: "msg",
      room: "lobby",
      type: "chat",
      data: {},
      sender: "ann",
      ts: 1_790_000_000_000,
      headers: { "X-Twist-ID": "u" },
      trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
      tenant_id: "acme",
      message_id: "m",
      schema_id: "s",
      offset: "9007199254740992",
      signature: "AQ==",
    },
  );
});

Deno.test("msg: commands have a name, signals an object", () => {
  assert.deepEqual(
    JSON.parse(message({ room_id: "r", command: { name: "kick", fence: 3, command_id: "c" } })),
    {
      op: "msg",
      room: "r",
      name: "kick",
      fence: 3,
      command_id: "c",
      sender: "",
      ts: 0,
      headers: {},
    },
  );
  const signal = { kind: "GAP", target: "lobby", reason: "slow-consumer", until_ms: 5 } as const;
  assert.deepEqual(JSON.parse(message({ room_id: "r", signal })).signal, signal);
});

Deno.test("ping and pong echo text as text, other bytes as base64", () => {
  assert.equal(encodeTextPong(encoder.encode('a"')), '{"op":"pong","data":"a\\""}');
  assert.equal(encodeTextPing(new Uint8Array([0xff])), '{"op":"ping","data":{"base64":"/w=="}}');
});

Deno.test("whatever the bytes and the content type, a msg is JSON and cannot forge a member", () => {
  const content_type = fc.constantFrom("", "application/json", "text/plain", "image/png");
  const raw = fc.oneof(bytes(30), fc.json().map((text) => encoder.encode(text)));
  fc.assert(fc.property(content_type, raw, (type, payload) => {
    const shown = message({ sender_id: "ann", event: { content_type: type, data: payload } });
    assert.equal(JSON.parse(shown).sender, "ann");
    assert.equal(JSON.parse(shown).op, "msg");
  }));
});

Deno.test("JSON too deep for many parsers is shown as bytes, so that the frame stays readable", () => {
  const deep = (levels: number) => encoder.encode("[".repeat(levels) + "]".repeat(levels));
  const shown = (data: Uint8Array) =>
    JSON.parse(message({ event: { content_type: "application/json", data } })).data;
  assert.ok(Array.isArray(shown(deep(96))));
  assert.deepEqual(shown(deep(97)), { base64: deep(97).toBase64() });
});
