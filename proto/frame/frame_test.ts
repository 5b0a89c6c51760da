/**
 * Frames: the opcode byte, both directions, and refusals. The control codecs against protobuf-es, both ways, and their
 * strictness.
 */
import { create, type DescMessage, fromBinary, ScalarType, toBinary } from "@bufbuild/protobuf";
import { sizeDelimitedDecodeStream, sizeDelimitedEncode } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { readHistoryQuery, writeHistoryQuery } from "./history.ts";
import assert from "node:assert/strict";
import { DecodeError } from "../errors/error.ts";
import { readEnvelope, writeEnvelope } from "../envelope/envelope.ts";
import { decodeClientFrame, decodeServerFrame, encodeBatch, encodeErr } from "./frame.ts";
import { encodeMsg, encodePing, encodePong, encodePub } from "./frame.ts";
import { EnvelopeSchema, schemaOf } from "../testing/schemas.ts";
import { Opcode } from "./opcode.ts";
import { anyBytes, bytes, envelopeBytes, safeInt64, text, uint64 } from "../testing/arbitraries.ts";
import { WIDE } from "../testing/arbitraries.ts";
import { encodeAck, encodeRefresh, encodeSub, encodeUnsub, encodeWelcome } from "./control.ts";
import { readAck, readRefresh, readSubscribe, readUnsubscribe, readWelcome } from "./control.ts";
import { writeAck } from "./control.ts";
import { countReads } from "../testing/read_counter.ts";

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

const uint32 = fc.oneof(fc.nat(), fc.integer({ min: 0, max: 2 ** 32 - 1 }));
/** Values of a field, by its type. */
const VALUES: ReadonlyMap<ScalarType, fc.Arbitrary<unknown>> = new Map<
  ScalarType,
  fc.Arbitrary<unknown>
>([
  [ScalarType.STRING, text(200)],
  [ScalarType.BYTES, bytes(300)],
  [ScalarType.BOOL, fc.boolean()],
  [ScalarType.UINT32, uint32],
  [ScalarType.UINT64, uint64],
  [ScalarType.INT64, safeInt64],
]);

/** A value of each field of the message, under protobuf-es's names. */
function valuesOf({ fields }: DescMessage): fc.Arbitrary<Record<string, unknown>> {
  const values = fields.map((field) => {
    const value = field.scalar === undefined ? undefined : VALUES.get(field.scalar);
    assert.ok(value, `${field} has values`);
    return [field.localName, value] as const;
  });
  return fc.record(Object.fromEntries(values), { noNullPrototype: true });
}

/** The same under the names of the `.proto` file; a number that is exact is no bigint. */
function plainOf({ fields }: DescMessage, init: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(fields.map(({ name, localName }) => {
    const value = init[localName];
    const is_exact = typeof value === "bigint" && value <= 2n ** 53n - 1n;
    return [name, is_exact ? Number(value) : value];
  }));
}

/** Our reader and writer of a message, beside protobuf-es. */
function codec<Plain>(
  name: string,
  read: (bytes: Uint8Array) => Plain,
  write: (value: Plain) => Uint8Array,
) {
  const schema = schemaOf(name);
  /** As protobuf-es reads it, without unknown fields. */
  const view = (source: Uint8Array) => ({ ...fromBinary(schema, source), $unknown: undefined });
  return {
    name,
    equals() {
      fc.assert(fc.property(valuesOf(schema), (init) => {
        const written = toBinary(schema, create(schema, init));
        const result = read(written);
        assert.deepEqual(result, plainOf(schema, init));
        assert.deepEqual(new Uint8Array(write(result)), new Uint8Array(written));
      }));
    },
    /** The bytes, and our encoding of what we read of them. */
    views: (counted: Uint8Array, source: Uint8Array) => [view(write(read(counted))), view(source)],
  };
}

const CODECS = [
  codec("HistoryQuery", readHistoryQuery, writeHistoryQuery),
  codec("Ack", readAck, writeAck),
  codec("Refresh", readRefresh, (refresh) => encodeRefresh(refresh).subarray(1)),
  codec("Subscribe", readSubscribe, (subscribe) => encodeSub(subscribe).subarray(1)),
  codec("Unsubscribe", readUnsubscribe, (unsubscribe) => encodeUnsub(unsubscribe).subarray(1)),
  codec("Welcome", readWelcome, (welcome) => encodeWelcome(welcome).subarray(1)),
];

for (const { name, equals } of CODECS) {
  Deno.test(`${name}: equal to protobuf-es both ways`, equals);
}

/** Short fields with low numbers, which are often valid. */
const lowFields = fc.array(
  fc.tuple(fc.integer({ min: 1, max: 15 }), fc.constantFrom(0, 2, 2, 5), bytes(4)).map((
    [field, type, body],
  ) =>
    type === 2
      ? [field * 8 + 2, body.length, ...body.map((byte) => byte & 0x7f)]
      : [field * 8 + type, (body[0] ?? 0) & 0x7f]
  ),
  { maxLength: 5 },
).map((fields) => new Uint8Array(fields.flat()));

for (const { name, views } of CODECS) {
  Deno.test(`${name}: any bytes are read as protobuf-es reads them, or give DecodeError`, () => {
    let accepted = 0;
    fc.assert(
      fc.property(fc.oneof(lowFields, bytes(40)), (source) => {
        const { bytes: counted, reads } = countReads(source);
        try {
          const [ours, theirs] = views(counted, source);
          assert.deepEqual(ours, theirs);
          accepted += 1;
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error;
        }
        assert.ok(reads() <= 3 * source.length);
      }),
      { numRuns: 2_000 },
    );
    assert.ok(accepted > 50, `only ${accepted} accepted`);
  });
}

Deno.test("a repeated field is refused in every control message", () => {
  const twice = new Uint8Array([0x0a, 1, 0x61, 0x0a, 1, 0x61]);
  const repeated = { reason: "repeated-field" };
  assert.throws(() => readWelcome(twice), repeated);
  assert.throws(() => readSubscribe(twice), { ...repeated, message: /Subscribe\.room_id/ });
  assert.throws(() => readUnsubscribe(twice), repeated);
  assert.throws(() => readRefresh(twice), { ...repeated, message: /Refresh\.token/ });
  assert.throws(() => readAck(new Uint8Array([0x08, 1, 0x08, 1])), repeated);
});

Deno.test("an unknown field is refused from a client and passed over from a Shield", () => {
  const unknown = new Uint8Array([0x9a, 0x01, 1, 0x61, 0x9a, 0x01, 1, 0x61]);
  assert.equal(readWelcome(unknown).node_id, "");
  assert.equal(readAck(unknown).code, 0);
  for (const read of [readSubscribe, readUnsubscribe, readRefresh, readHistoryQuery]) {
    assert.throws(() => read(unknown), { reason: "unknown-field", message: /\.19/ });
  }
});

Deno.test("a wrong wire type, a uint32 beyond its range and a time beyond 2^53 are refused", () => {
  assert.throws(() => readSubscribe(new Uint8Array([0x08, 1])), {
    reason: "malformed-frame",
    message: /Subscribe\.room_id is a varint/,
  });
  assert.throws(() => readAck(new Uint8Array([0x10, 0x80, 0x80, 0x80, 0x80, 0x10])), {
    reason: "malformed-frame",
    message: /uint32/,
  });
  // Read as a varint, these eight bytes would be eight numbers.
  assert.throws(() => readAck(new Uint8Array([0x11, 0x01, 0x1a, 0, 0x1a, 0, 0x1a, 0, 0])), {
    reason: "malformed-frame",
    message: /Ack\.code is a fixed number/,
  });
  const far = new Uint8Array([0x20, ...new Array(8).fill(0xff), 0x7f]);
  assert.throws(() => readWelcome(far), { reason: "invalid-field", message: /2\^53/ });
});

Deno.test("control frames: numbers out of a field's range are a TypeError of the writer", () => {
  for (const request_id of [-1, 1.5, NaN, 2 ** 53, -1n, 2n ** 64n]) {
    assert.throws(() => writeAck({ request_id }), TypeError, String(request_id));
  }
  assert.throws(() => writeAck({ code: 2 ** 32 }), TypeError);
  assert.throws(() => encodeWelcome({ server_time_ms: -(2 ** 60) }), TypeError);
});
