/**
 * A client's text frames: each operation, its data byte for byte. Refusals: text_refusal_test.ts. The Shield's text
 * frames, as exact strings.
 */
import fc from "fast-check";
import assert from "node:assert/strict";
import { anyCharacter } from "../../shared/testing/any_character.ts";
import { encodeBase64 } from "./base64.ts";
import { ArqonError, DecodeError } from "../errors/error.ts";
import { readEnvelope, writeEnvelope } from "../envelope/envelope.ts";
import type { EnvelopeInput, PlainEnvelope } from "../envelope/envelope.ts";
import { plainEnvelope } from "../envelope/scan.ts";
import type { ClientOperation } from "../frame/frame.ts";
import { bytes, headers, text, traceId, uint64 } from "../testing/arbitraries.ts";
import { decodeClientText } from "./text.ts";
import { encodeTextAck, encodeTextErr, encodeTextMessage, encodeTextPing } from "./text_encode.ts";
import { encodeTextPong, encodeTextWelcome } from "./text_encode.ts";

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
