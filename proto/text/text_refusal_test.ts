/** Refusals of a client's text frames, with reason and request id. */
import assert from "node:assert/strict";
import { DecodeError } from "../errors/error.ts";
import { decodeClientText } from "./text.ts";

const LIMITS = { headers: 6, header_bytes: 4_096, field_bytes: 256 };

function refusal(frame: string): DecodeError {
  try {
    decodeClientText(frame, LIMITS);
  } catch (error) {
    assert.ok(error instanceof DecodeError, String(error));
    return error;
  }
  return assert.fail(`accepted ${frame}`);
}

Deno.test("a signal leaves no room for an event, and has its own members only", () => {
  assert.equal(refusal('{"op":"pub","signal":{"kind":"GAP"},"data":1}').reason, "payload-count");
  assert.equal(refusal('{"op":"pub","signal":{"kind":"NOISE"}}').reason, "malformed-frame");
  assert.equal(refusal('{"op":"pub","signal":{"kind":"GAP","x":1}}').reason, "unknown-field");
  assert.equal(
    refusal('{"op":"pub","signal":{"kind":"GAP","kind":"BAN"}}').reason,
    "repeated-field",
  );
});

Deno.test("data that does not fit its content type is refused", () => {
  for (
    const data of [
      '"content_type":"text/plain","data":{}',
      '"content_type":"text/plain","data":"\\ud800"',
      '"content_type":"image/png","data":"UE5H"',
      '"content_type":"image/png","data":{"base64":"UE5"}',
      '"content_type":"image/png","data":{"base64":"UE 5H==="}',
      '"content_type":"image/png","data":{"base64":"UE5H","x":1}',
    ]
  ) {
    const error = refusal(`{"op":"pub",${data}}`);
    assert.equal(error.reason, "malformed-frame");
    assert.match(error.message, /"data" must be/);
  }
});

Deno.test("the text form refuses the same as the binary form", () => {
  const rows: [frame: string, reason: string][] = [
    ['{"op":"pub","trace_id":"ABC"}', "invalid-field"],
    [`{"op":"pub","type":"${"x".repeat(257)}"}`, "invalid-field"],
    ['{"op":"pub","headers":{"X-a":"1","x-A":"2"}}', "repeated-field"],
    ['{"op":"pub","headers":{"a":"1","a":"2"}}', "repeated-field"],
    [
      `{"op":"pub","headers":{${"abcdefg".replace(/./g, '"$&":"",').slice(0, -1)}}}`,
      "too-many-headers",
    ],
    [`{"op":"pub","headers":{"a":"${"x".repeat(4_096)}"}}`, "too-many-headers"],
  ];
  for (const [frame, reason] of rows) assert.equal(refusal(frame).reason, reason, frame);
});

Deno.test("wrong types and shapes are malformed and name the member", () => {
  const rows: [frame: string, message: RegExp][] = [
    ["", /not JSON/],
    ["hello", /not JSON/],
    ['{"op":"ping"', /not JSON/],
    ["[]", /expected an object/],
    ["null", /expected an object/],
    ['"sub"', /expected an object/],
    ['{"op":"ping","data":"\ud800"}', /not Unicode/],
    ['{"room":"r"}', /there is no "op"/],
    ['{"op":1}', /"op" must be a string/],
    ['{"op":"sub","room":7}', /"room" must be a string/],
    ['{"op":"sub","room":"\\udc00"}', /"room" must be a string/],
    ['{"op":"sub","room":null}', /"room" must be a string/],
    ['{"op":"sub","presence":1}', /"presence" must be true or false/],
    ['{"op":"sub","id":-1}', /"id" must be an integer/],
    ['{"op":"sub","id":1.5}', /"id" must be an integer/],
    ['{"op":"sub","id":9007199254740993}', /"id" must be an integer/],
    ['{"op":"sub","id":"18446744073709551616"}', /"id" must be an integer/],
    ['{"op":"sub","id":"1e3"}', /"id" must be an integer/],
    ['{"op":"sub","id":{}}', /"id" must be an integer/],
    ['{"op":"pub","headers":[]}', /"headers" must be an object of strings/],
    ['{"op":"pub","headers":{"a":1}}', /"headers\["a"\]" must be a string/],
    ['{"op":"pub","headers":{"\\ud800":"1"}}', /must be a string/],
    ['{"op":"pub","signature":"?"}', /"signature" must be base64/],
    ['{"op":"pub","signal":"GAP"}', /"signal" must be an object/],
    ['{"op":"pub","signal":{"kind":"GAP","until_ms":0.5}}', /"until_ms" must be an integer/],
    [`{"op":"ping","data":"${"é".repeat(63)}"}`, /126 ping bytes/],
    ['{"op":"ping","data":1}', /"data" must be a string/],
    [`{${Array.from({ length: 40 }, (_, n) => `"m${n}":1`)}}`, /more than 32 members/],
  ];
  for (const [frame, message] of rows) {
    const error = refusal(frame);
    assert.equal(error.reason, "malformed-frame", frame);
    assert.match(error.message, message);
  }
});

Deno.test("members that the operation does not have are refused", () => {
  for (const member of ["connection", "request_id", "__proto__", "constructor", "token"]) {
    const error = refusal(`{"op":"pub","room":"r","id":4,"${member}":"x"}`);
    assert.equal(error.reason, "unknown-field", member);
    assert.ok(error.message.includes(`"${member}"`));
    assert.equal(error.request_id, 4);
  }
});

Deno.test("operations of the Shield, and unknown ones, are unknown opcodes", () => {
  for (const op of ["welcome", "msg", "ack", "err", "", "toString", "__proto__"]) {
    assert.equal(refusal(`{"op":"${op}"}`).reason, "unknown-opcode");
  }
});

Deno.test("a repeated member is refused, also if one name is escaped", () => {
  for (
    const frame of [
      '{"op":"sub","room":"a","room":"b"}',
      '{"op":"sub","room":"a","\\u0072oom":"b"}',
    ]
  ) {
    const error = refusal(frame);
    assert.equal(error.reason, "repeated-field");
    assert.match(error.message, /"room"/);
    assert.equal(error.request_id, undefined);
  }
});

Deno.test("a refusal has the id if the frame has a readable one", () => {
  const ids: [frame: string, id: number | bigint | undefined][] = [
    ['{"op":"pub","id":5,"type":1}', 5],
    ['{"op":"nope","id":5}', 5],
    ['{"op":"sub","id":"18446744073709551615","room":1}', 2n ** 64n - 1n],
    ['{"op":"sub","id":6,"room":"a","room":"b"}', 6],
    ['{"op":"sub","id":0,"room":1}', undefined],
    ['{"op":"sub","id":-6,"room":1}', undefined],
    ['{"op":"sub","room":1}', undefined],
  ];
  for (const [frame, id] of ids) assert.equal(refusal(frame).request_id, id, frame);
});

Deno.test("a frame nested a hundred thousand deep and cut short is refused, not crashed on", () => {
  assert.equal(refusal(`{"op":"pub","data":${"[".repeat(100_000)}`).reason, "malformed-frame");
});

Deno.test("a large frame is read and refused like a small one, whatever its data", () => {
  const large = (data: string, rest = "") =>
    `{"op":"pub","room":"r","type":"t","id":7${rest},"data":${data}}`;
  const nested = "[".repeat(50_000) + "]".repeat(50_000);
  for (const data of [nested, `{${Array.from({ length: 2_000 }, (_n, n) => `"${n}":1`)}}`]) {
    const operation = decodeClientText(large(data), LIMITS);
    assert(operation.kind === "publish");
    const { bytes, event } = operation.envelope;
    const sent = bytes.subarray(event!.data_start, event!.data_end);
    assert.equal(new TextDecoder().decode(sent), data);
    for (
      const [text, words] of [
        [large(data).slice(0, -1), /the text is not JSON/],
        [`[${large(data)}]`, /expected an object/],
        [large(data, ',"id":7'), /"id"/],
        [large(data, ',"headers":[]'), /"headers" must be an object of strings/],
        [large(data, ',"nothing":1'), /"nothing"/],
      ] as const
    ) assert.throws(() => decodeClientText(text, LIMITS), words);
  }
});
