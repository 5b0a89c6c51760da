// The three forms of a received message, from constructed messages.
import assert from "node:assert/strict";
import fc from "fast-check";
import { readEnvelope, writeEnvelope } from "@arqon/proto";
import { Message, type Uint64 } from "@arqon/sdk";
import { humanLine, jsonLine, rawLine } from "./format.ts";

const encode = (text: string) => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

function message(
  data: Uint8Array,
  content_type: string,
  type = "chat",
  offset: Uint64 = 0,
): Message {
  const epoch = offset === 0 ? "" : "e1";
  const event = { type, data, content_type };
  const lobby = { tenant_id: "default", room_id: "lobby", timestamp_ms: 7, sender_id: "u1" };
  const envelope = readEnvelope(writeEnvelope({ ...lobby, offset, event }));
  return new Message(envelope, epoch);
}

Deno.test("a line for people has room, type, sender and data", () => {
  assert.equal(
    humanLine(message(encode('{"a":1}'), "application/json")),
    'lobby chat u1 {"a":1}\n',
  );
  assert.equal(
    humanLine(message(new Uint8Array([0xff, 0]), "application/octet-stream")),
    "lobby chat u1 (2 bytes, not text)\n",
  );
  assert.ok(humanLine(message(encode("x".repeat(5_000)), "text/plain")).length < 2_100);
});

Deno.test("nothing that a publisher sends can drive the terminal or fake a second line", () => {
  const evil = message(encode("\u001b[2J\nlobby chat admin hi\u202e"), "text/plain", "\u009bx");
  const line = humanLine(evil);
  // deno-lint-ignore no-control-regex
  assert.doesNotMatch(line.slice(0, -1), /[\u0000-\u001f\u007f-\u009f\u202e]/);
  assert.match(line, /\\u001b\[2J\\u000alobby/);
});

Deno.test("in a pipe the payload's bytes are printed exactly, whatever they are", () => {
  fc.assert(fc.property(fc.uint8Array(), (data) => {
    assert.deepEqual(rawLine(message(data, "")), new Uint8Array([...data, 0x0a]));
  }));
});

Deno.test("--json preserves a JSON payload byte for byte in one line", () => {
  const odd = '{ "big": 12345678901234567890, "a": 1.0,\t"a":2 }';
  const line = decode(jsonLine(message(encode(odd), "application/json; charset=utf-8")));
  assert.ok(line.endsWith(`,"data":${odd}}\n`), line);
  const pretty = decode(jsonLine(message(encode('{\r\n "a": 1\n}'), "application/json")));
  assert.equal(pretty.indexOf("\n"), pretty.length - 1);
  assert.deepEqual(JSON.parse(pretty).data, { a: 1 });
});

Deno.test("--json gives text as a string and anything else as base64, and always parses", () => {
  const data = (bytes: Uint8Array, type: string) =>
    JSON.parse(decode(jsonLine(message(bytes, type)))).data;
  assert.equal(data(encode("hi"), "text/plain"), "hi");
  assert.equal(data(encode("hi"), ""), "hi");
  assert.deepEqual(data(encode("{broken"), "application/json"), { base64: btoa("{broken") });
  assert.deepEqual(data(new Uint8Array([0xff]), "text/plain"), { base64: "/w==" });
  fc.assert(
    fc.property(
      fc.uint8Array(),
      fc.constantFrom("", "text/plain", "application/json", "x/y"),
      (bytes, type) => {
        const text = decode(jsonLine(message(bytes, type)));
        assert.equal(text.indexOf("\n"), text.length - 1);
        assert.equal(JSON.parse(text).room, "lobby");
      },
    ),
  );
});

Deno.test("--json prints the position to continue from, in durable rooms only", () => {
  const line = (...args: Parameters<typeof jsonLine>) => JSON.parse(decode(jsonLine(...args)));
  const other = line(message(encode("1"), ""));
  assert.deepEqual([other.offset, other.epoch], [undefined, undefined]);
  const stored = message(encode("1"), "", "t", 7);
  assert.deepEqual([line(stored).offset, line(stored).epoch], [7, "e1"]);
  assert.equal(line(message(encode("1"), "", "t", 2n ** 60n)).offset, String(2n ** 60n));
  const moved = line(stored, { offset: 0, epoch: "e2" });
  assert.deepEqual([moved.offset, moved.epoch], [0, "e2"]);
});
