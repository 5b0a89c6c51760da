/** Frames: the opcode byte, both directions, and refusals. */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { sizeDelimitedDecodeStream, sizeDelimitedEncode } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import assert from "node:assert/strict";
import { DecodeError } from "../errors/decode_error.ts";
import { readEnvelope, writeEnvelope } from "../envelope/envelope.ts";
import {
  decodeClientFrame,
  decodeServerFrame,
  encodeAck,
  encodeBatch,
  encodeErr,
  encodeMsg,
  encodePing,
  encodePong,
  encodePub,
  encodeRefresh,
  encodeSub,
  encodeUnsub,
  encodeWelcome,
} from "./frame.ts";
import { EnvelopeSchema } from "../testing/schemas.ts";
import { Opcode } from "./opcode.ts";
import { anyBytes, bytes, envelopeBytes, text, WIDE } from "../testing/arbitraries.ts";

const fromClient = (frame: Uint8Array) => decodeClientFrame(frame, WIDE);

Deno.test("every client frame is read as the operation that it was made for", () => {
  const envelope = writeEnvelope({ room_id: "lobby", event: { type: "chat" } });
  const publish = fromClient(encodePub(envelope));
  assert.ok(publish.kind === "publish");
  assert.equal(publish.envelope.room_id, "lobby");
  assert.equal(publish.envelope.event?.type, "chat");

  const subscribe = fromClient(encodeSub({ room_id: "lobby", no_echo: true, request_id: 3 }));
  assert.ok(subscribe.kind === "subscribe");
  assert.equal(subscribe.subscribe.room_id, "lobby");
  assert.equal(subscribe.subscribe.no_echo, true);

  assert.deepEqual(fromClient(encodeUnsub({ room_id: "lobby", request_id: 4 })), {
    kind: "unsubscribe",
    unsubscribe: { room_id: "lobby", request_id: 4 },
  });
  assert.deepEqual(fromClient(encodeRefresh({ token: "t", request_id: 5 })), {
    kind: "refresh",
    refresh: { token: "t", request_id: 5 },
  });
  const body = new Uint8Array(125).fill(7);
  assert.deepEqual(fromClient(encodePing(body)), { kind: "ping", body });
  assert.deepEqual(fromClient(encodePong(body)), { kind: "pong", body });
});

Deno.test("every Shield frame is read by a client", () => {
  const welcome = decodeServerFrame(encodeWelcome({ connection_id: "c", heartbeat_ms: 30_000 }));
  assert.ok(welcome.kind === "welcome");
  assert.equal(welcome.welcome.heartbeat_ms, 30_000);

  const ack = decodeServerFrame(encodeAck({ request_id: 2, code: 429, retry_after_ms: 50 }));
  assert.ok(ack.kind === "ack");
  assert.deepEqual([ack.ack.request_id, ack.ack.code, ack.ack.retry_after_ms], [2, 429, 50]);

  const msg = decodeServerFrame(encodeMsg(writeEnvelope({ room_id: "r", event: {} })));
  assert.ok(msg.kind === "msg");
  assert.equal(msg.envelope.room_id, "r");

  const body = new Uint8Array([1]);
  assert.deepEqual(decodeServerFrame(encodePing(body)), { kind: "ping", body });
  assert.deepEqual(decodeServerFrame(encodePong(body)), { kind: "pong", body });
});

Deno.test("ERR is the code, big-endian, the message in UTF-8, and a last line with the other members", () => {
  const about = { reason: "not-granted", room_id: "lobby", action: "subscribe" };
  const frame = encodeErr({ code: 403, message: "Not granted: subscribe in lobby", ...about });
  assert.deepEqual(Array.from(frame.subarray(0, 3)), [0x99, 0x01, 0x93]);
  // A client that only knows code and message reads a text of two lines.
  assert.equal(
    new TextDecoder("utf-8", { fatal: true }).decode(frame.subarray(3)),
    'Not granted: subscribe in lobby\n{"reason":"not-granted","room":"lobby","action":"subscribe"}',
  );
  const refusal = fc.record({
    code: fc.integer({ min: 0, max: 65_535 }),
    reason: text(),
    message: text(200).map((one) => one.replaceAll("x", "\n")),
    retry_after_ms: fc.integer({ min: 0, max: 0xffff_ffff }),
    room_id: text(),
    action: text(),
  });
  fc.assert(fc.property(refusal, (written) => {
    assert.deepEqual(decodeServerFrame(encodeErr(written)), { kind: "err", ...written });
  }));
});

Deno.test("an ERR of one line is only a message; a last line that is no such object is malformed", () => {
  const err = (line: string) =>
    decodeServerFrame(Uint8Array.from([0x99, 1, 0x93, ...new TextEncoder().encode(line)]));
  const plain = { kind: "err", code: 403, reason: "", retry_after_ms: 0, room_id: "", action: "" };
  assert.deepEqual(err("no"), { ...plain, message: "no" });
  assert.deepEqual(err('no\n{"room":"a","later":[1]}'), { ...plain, message: "no", room_id: "a" });
  const bad = [
    "",
    "x",
    "[]",
    "null",
    '{"room":1}',
    '{"retry_after_ms":-1}',
    '{"retry_after_ms":0.5}',
    '{"a"',
  ];
  for (const line of bad) {
    assert.throws(() => err(`no\n${line}`), { reason: "malformed-frame" }, line);
  }
});

Deno.test("a BATCH is size-delimited envelopes, as protobuf-es writes and reads them", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(envelopeBytes, { maxLength: 5 }), async (envelopes) => {
      const frame = encodeBatch(envelopes);
      const expected = envelopes.map((one) =>
        Array.from(sizeDelimitedEncode(EnvelopeSchema, fromBinary(EnvelopeSchema, one)))
      );
      assert.deepEqual(Array.from(frame), [Opcode.BATCH, ...expected.flat()]);
      const read: number[][] = [];
      const stream = sizeDelimitedDecodeStream(
        EnvelopeSchema,
        ReadableStream.from([frame.subarray(1)]),
      );
      for await (const one of stream) read.push(Array.from(toBinary(EnvelopeSchema, one)));
      assert.deepEqual(read, envelopes.map((one) => Array.from(one)));
      assert.deepEqual(decodeServerFrame(frame), {
        kind: "batch",
        envelopes: envelopes.map(readEnvelope),
      });
    }),
    { numRuns: 50 },
  );
});

Deno.test("opcodes that a client may not send are refused by number and name", () => {
  const refused = { reason: "unknown-opcode", code: 400 };
  for (const name of ["WELCOME", "MSG", "BATCH", "ACK", "ERR"] as const) {
    assert.throws(() => fromClient(new Uint8Array([Opcode[name]])), {
      ...refused,
      message: new RegExp(`0x[0-9a-f]{2}: a Shield takes no ${name}$`),
    });
  }
  assert.throws(() => fromClient(new Uint8Array([0x7f])), { ...refused, message: /0x7f$/ });
  assert.throws(() => fromClient(new Uint8Array([0x7b])), { ...refused, message: /0x7b$/ });
  assert.throws(() => decodeServerFrame(new Uint8Array([Opcode.PUB])), {
    ...refused,
    message: "Unknown opcode: 0x01",
  });
});

Deno.test("an empty frame, a long ping, a short ERR and a cut BATCH are malformed", () => {
  const malformed = { reason: "malformed-frame" };
  assert.throws(() => fromClient(new Uint8Array()), malformed);
  assert.throws(() => decodeServerFrame(new Uint8Array()), malformed);
  assert.throws(() => fromClient(encodePing(new Uint8Array(126))), malformed);
  assert.throws(() => fromClient(encodePong(new Uint8Array(126))), malformed);
  assert.throws(() => decodeServerFrame(new Uint8Array([Opcode.ERR, 1])), malformed);
  assert.throws(() => decodeServerFrame(new Uint8Array([Opcode.BATCH, 5, 1])), malformed);
  assert.throws(() => decodeServerFrame(new Uint8Array([Opcode.ERR, 1, 1, 0xff])), malformed);
});

Deno.test("any frame in either direction gives a value or DecodeError", () => {
  const opcode = fc.constantFrom(
    ...Object.values(Opcode).filter((value) => typeof value === "number"),
  );
  fc.assert(
    fc.property(opcode, fc.oneof(anyBytes, bytes(20)), (first, body) => {
      const frame = new Uint8Array([first, ...body]);
      for (const decode of [fromClient, decodeServerFrame]) {
        try {
          decode(frame);
        } catch (error) {
          assert.ok(error instanceof DecodeError, String(error));
        }
      }
    }),
    { numRuns: 2_000 },
  );
});
