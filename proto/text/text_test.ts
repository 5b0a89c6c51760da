/** A client's text frames: each operation, its data byte for byte. Refusals: text_refusal_test.ts. */
import fc from "fast-check";
import assert from "node:assert/strict";
import { anyCharacter } from "../../shared/testing/any_character.ts";
import { encodeBase64 } from "./base64.ts";
import { DecodeError } from "../errors/decode_error.ts";
import type { PlainEnvelope } from "../envelope/envelope.ts";
import { plainEnvelope } from "../envelope/plain_scan.ts";
import type { ClientOperation } from "../frame/frame.ts";
import { bytes, headers, text, traceId, uint64 } from "../testing/arbitraries.ts";
import { decodeClientText } from "./text.ts";
import { encodeTextMessage } from "./text_encode.ts";

const LIMITS = { headers: 6, header_bytes: 4_096, field_bytes: 256 };
const decoder = new TextDecoder();

const decode = (frame: string): ClientOperation => decodeClientText(frame, LIMITS);

function publish(frame: string): PlainEnvelope {
  const operation = decode(frame);
  assert.ok(operation.kind === "publish");
  return plainEnvelope(operation.envelope);
}

function dataOf(frame: string): string {
  const { event, command } = publish(frame);
  return decoder.decode(event?.data ?? command?.data);
}

Deno.test("sub, unsub, refresh, ping and pong have the shapes of docs/protocol.md", () => {
  const frame = '{"op":"sub","room":"lobby","id":1,"presence":true,"no_echo":true,"batch":true,' +
    '"member_meta":{"n":1},"after_offset":"18446744073709551615","epoch":"7",' +
    '"observer":true,"filter":"data.n > 1","positions":{},"delta":true,"delta_bytes":4096}';
  assert.deepEqual(decode(frame), {
    kind: "subscribe",
    subscribe: {
      room_id: "lobby",
      request_id: 1,
      presence: true,
      no_echo: true,
      batch: true,
      member_meta: new TextEncoder().encode('{"n":1}'),
      after_offset: 2n ** 64n - 1n,
      epoch: "7",
      observer: true,
      filter: "data.n > 1",
      positions: new TextEncoder().encode("{}"),
      delta: true,
      delta_bytes: 4_096,
      vcdiff: false,
    },
  });
  assert.deepEqual(decode('{"op":"unsub","room":"lobby","id":2}'), {
    kind: "unsubscribe",
    unsubscribe: { room_id: "lobby", request_id: 2 },
  });
  assert.deepEqual(decode('{"op":"refresh","token":"t","id":"9007199254740993"}'), {
    kind: "refresh",
    refresh: { token: "t", request_id: 9_007_199_254_740_993n },
  });
  assert.deepEqual(decode('{"op":"ping"}'), { kind: "ping", body: new Uint8Array() });
  assert.deepEqual(decode('{"op":"pong","data":"é"}'), {
    kind: "pong",
    body: new Uint8Array([0xc3, 0xa9]),
  });
  assert.deepEqual(decode('{"op":"ping","data":{"base64":"/w=="}}'), {
    kind: "ping",
    body: new Uint8Array([0xff]),
  });
});

Deno.test("pub becomes an event envelope", () => {
  const envelope = publish(
    '{"op":"pub","room":"lobby","type":"chat","data":{"n":1},"id":2,"ack":true,' +
      '"message_id":"m","headers":{"a":"b","__proto__":"p"},"tenant_id":"acme",' +
      '"schema_id":"s","signature":"AQI=","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"}',
  );
  assert.equal(envelope.room_id, "lobby");
  assert.equal(envelope.tenant_id, "acme");
  assert.equal(envelope.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
  assert.equal(envelope.request_id, 2);
  assert.equal(envelope.ack_requested, true);
  assert.equal(envelope.message_id, "m");
  assert.deepEqual(Object.entries(envelope.headers), [["a", "b"], ["__proto__", "p"]]);
  assert.deepEqual(envelope.signature, new Uint8Array([1, 2]));
  assert.equal(envelope.event?.type, "chat");
  assert.equal(envelope.event?.schema_id, "s");
  assert.equal(envelope.event?.content_type, "application/json");
});

Deno.test("cmd becomes a command envelope", () => {
  const { command } = publish(
    '{"op":"cmd","room":"lobby","name":"room.set","data":{"key":"k"},"id":3,"expect_version":4,' +
      '"after_version":"5","fence":6,"epoch":"e","command_id":"c"}',
  );
  assert.deepEqual({ ...command, data: decoder.decode(command?.data) }, {
    name: "room.set",
    data: '{"key":"k"}',
    content_type: "application/json",
    expect_version: 4,
    after_version: 5,
    fence: 6,
    epoch: "e",
    command_id: "c",
  });
});

Deno.test("a signal is read from its object", () => {
  assert.deepEqual(
    publish('{"op":"pub","room":"r","signal":{"kind":"GAP","target":"t","until_ms":"12"}}').signal,
    { kind: "GAP", target: "t", reason: "", until_ms: 12 },
  );
});

Deno.test("JSON data keeps its bytes: spacing, big numbers, escapes, order", () => {
  for (
    const data of [
      '{ "b" : 12345678901234567890.10,\t"a":[1 ,2]\n}',
      '"\\u00e9\\n"',
      "1e400",
      "-0.0",
      "null",
      '[{"x":"}],{\\""}]',
      '{"a":1,"a":2}',
      '{"base64":"AQI="}',
      '"€𝄞"',
    ]
  ) {
    assert.equal(dataOf(`{"op":"pub", "data" :  ${data}  ,"room":"r"}`), data);
    assert.equal(dataOf(`{"op":"cmd","data":${data}}`), data);
    assert.equal(
      dataOf(`{"op":"pub","content_type":"Application/Merge-Patch+JSON; x=1","data":${data}}`),
      data,
    );
  }
});

Deno.test("any JSON in a pub is byte for byte the same in the msg", () => {
  const json = fc.tuple(fc.jsonValue(), fc.constantFrom(undefined, 1, "\t"))
    .map(([value, indent]) => JSON.stringify(value, null, indent));
  fc.assert(fc.property(json, text(), (data, type) => {
    const sent = publish(`{"op":"pub","room":"r","type":${JSON.stringify(type)},"data":${data}}`);
    const shown = encodeTextMessage(sent);
    assert.equal(JSON.parse(shown).type, type);
    assert.deepEqual(JSON.parse(shown).data, JSON.parse(data));
    assert.ok(shown.includes(`,"data":${data},`));
  }));
});

Deno.test("text data is a string, other data is base64", () => {
  assert.equal(
    dataOf('{"op":"pub","content_type":"text/plain; charset=utf-8","data":"é\\n"}'),
    "é\n",
  );
  assert.equal(dataOf('{"op":"pub","content_type":"image/png","data":{"base64":"UE5H"}}'), "PNG");
});

Deno.test("without data the event is empty and has the content type that was given", () => {
  assert.deepEqual(publish('{"op":"pub","room":"r"}').event, {
    type: "",
    data: new Uint8Array(),
    content_type: "",
    schema_id: "",
  });
  const typed = publish('{"op":"pub","content_type":"text/plain"}').event;
  assert.deepEqual([typed?.content_type, typed?.data.length], ["text/plain", 0]);
});

Deno.test("an envelope keeps its fields from pub to msg", () => {
  const fields = fc.record({
    room: text(),
    type: text(),
    trace_id: traceId,
    tenant_id: text(),
    message_id: text(),
    headers,
    schema_id: text(),
    signature: bytes(70).map(encodeBase64),
    id: uint64.map(String),
  });
  fc.assert(fc.property(fields, bytes(100), (members, data) => {
    const frame = {
      op: "pub",
      ...members,
      content_type: "application/octet-stream",
      data: { base64: encodeBase64(data) },
    };
    const { headers: sent_headers, id, op: _op, ...sent } = frame;
    const envelope = publish(JSON.stringify(frame));
    assert.equal(BigInt(envelope.request_id), BigInt(id));
    const { op, sender: _sender, ts: _ts, headers: shown_headers, ...shown } = JSON.parse(
      encodeTextMessage(envelope),
    );
    assert.equal(op, "msg");
    assert.deepEqual(Object.entries(shown_headers).sort(), Object.entries(sent_headers).sort());
    const empty = Object.entries(sent).filter(([name, value]) =>
      value === "" && name !== "room" && name !== "type"
    );
    const expected: Record<string, unknown> = { ...sent };
    for (const [name] of empty) delete expected[name];
    if (data.length === 0) delete expected["data"];
    assert.deepEqual(shown, expected);
  }));
});

Deno.test("any text gives an operation or DecodeError", () => {
  const member = fc.tuple(
    fc.constantFrom("op", "id", "room", "data", "type", "headers", "signal", "ack", "token", "x"),
    fc.oneof(
      fc.constantFrom('"pub"', '"sub"', '"cmd"', '"ping"', '"refresh"', '"unsub"'),
      fc.json({ maxDepth: 2 }),
    ),
  ).map(([name, value]) => `"${name}":${value}`);
  const frames = fc.oneof(
    fc.string({ unit: anyCharacter, maxLength: 40 }),
    fc.json(),
    fc.array(member, { maxLength: 6 }).map((members) => `{${members}}`),
  );
  fc.assert(
    fc.property(frames, (frame) => {
      try {
        decode(frame);
      } catch (error) {
        assert.ok(error instanceof DecodeError, String(error));
      }
    }),
    { numRuns: 3_000 },
  );
});

Deno.test("a frame nested a hundred thousand deep is read, not crashed on", () => {
  const depth = 100_000;
  const data = "[".repeat(depth) + "]".repeat(depth);
  assert.equal(dataOf(`{"op":"pub","data":${data}}`), data);
});
