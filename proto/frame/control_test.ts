/** The control codecs against protobuf-es, both ways, and their strictness. */
import { create, type DescMessage, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import assert from "node:assert/strict";
import {
  readAck,
  readRefresh,
  readSubscribe,
  readUnsubscribe,
  readWelcome,
  type Subscribe,
  withPositions,
  writeAck,
  writeRefresh,
  writeSubscribe,
  writeUnsubscribe,
  writeWelcome,
} from "./control.ts";
import { askDeltas } from "./delta.ts";
import { DecodeError } from "../errors/decode_error.ts";
import { schemaOf } from "../testing/schemas.ts";
import { bytes, safeInt64, text, uint64 } from "../testing/arbitraries.ts";
import { countReads } from "../testing/read_counter.ts";

const AckSchema = schemaOf("Ack");
const RefreshSchema = schemaOf("Refresh");
const SubscribeSchema = schemaOf("Subscribe");
const UnsubscribeSchema = schemaOf("Unsubscribe");
const WelcomeSchema = schemaOf("Welcome");

const uint32 = fc.oneof(fc.nat(), fc.integer({ min: 0, max: 2 ** 32 - 1 }));
const exact = (value: bigint) => value <= 2n ** 53n - 1n ? Number(value) : value;

/** Reads what protobuf-es wrote, writes it again, and both results must be the same bytes. */
function expectSame<Plain>(
  written: Uint8Array,
  read: (bytes: Uint8Array) => Plain,
  write: (value: Partial<Plain>) => Uint8Array,
  plain: Plain,
): void {
  const result = read(written);
  assert.deepEqual(result, plain);
  assert.deepEqual(new Uint8Array(write(result)), new Uint8Array(written));
}

/** A SUB of a client that keeps positions. */
function writeWhole(subscribe: Partial<Subscribe>): Uint8Array {
  const { positions = new Uint8Array(), delta = false, delta_bytes, vcdiff } = subscribe;
  const written = withPositions(writeSubscribe(subscribe), positions);
  return askDeltas(written, {
    delta,
    ...(vcdiff && { vcdiff }),
    ...(delta_bytes && { delta_bytes }),
  });
}

Deno.test("Welcome: equal to protobuf-es both ways", () => {
  const welcome = fc.record({
    connectionId: text(),
    userId: text(),
    tenantId: text(),
    serverTimeMs: safeInt64,
    heartbeatMs: uint32,
    maxFrameBytes: uint32,
    tokenExpiresMs: safeInt64,
    nodeId: text(),
    protocolVersion: uint32,
  });
  fc.assert(fc.property(welcome, (init) => {
    expectSame(toBinary(WelcomeSchema, create(WelcomeSchema, init)), readWelcome, writeWelcome, {
      connection_id: init.connectionId,
      user_id: init.userId,
      tenant_id: init.tenantId,
      server_time_ms: Number(init.serverTimeMs),
      heartbeat_ms: init.heartbeatMs,
      max_frame_bytes: init.maxFrameBytes,
      token_expires_ms: Number(init.tokenExpiresMs),
      node_id: init.nodeId,
      protocol_version: init.protocolVersion,
    });
  }));
});

Deno.test("Subscribe: equal to protobuf-es both ways", () => {
  const subscribe = fc.record({
    roomId: text(),
    requestId: uint64,
    presence: fc.boolean(),
    noEcho: fc.boolean(),
    batch: fc.boolean(),
    memberMeta: bytes(),
    afterOffset: uint64,
    epoch: text(),
    observer: fc.boolean(),
    filter: text(),
    positions: bytes(),
    delta: fc.boolean(),
    deltaBytes: uint32,
    vcdiff: fc.boolean(),
  });
  fc.assert(fc.property(subscribe, (init) => {
    const written = toBinary(SubscribeSchema, create(SubscribeSchema, init));
    expectSame(written, readSubscribe, writeWhole, {
      room_id: init.roomId,
      request_id: exact(init.requestId),
      presence: init.presence,
      no_echo: init.noEcho,
      batch: init.batch,
      member_meta: init.memberMeta,
      after_offset: exact(init.afterOffset),
      epoch: init.epoch,
      observer: init.observer,
      filter: init.filter,
      positions: init.positions,
      delta: init.delta,
      delta_bytes: init.deltaBytes,
      vcdiff: init.vcdiff,
    });
  }));
});

Deno.test("Unsubscribe and Refresh: equal to protobuf-es both ways", () => {
  fc.assert(fc.property(text(), uint64, (name, requestId) => {
    expectSame(
      toBinary(UnsubscribeSchema, create(UnsubscribeSchema, { roomId: name, requestId })),
      readUnsubscribe,
      writeUnsubscribe,
      { room_id: name, request_id: exact(requestId) },
    );
    expectSame(
      toBinary(RefreshSchema, create(RefreshSchema, { token: name, requestId })),
      readRefresh,
      writeRefresh,
      { token: name, request_id: exact(requestId) },
    );
  }));
});

Deno.test("Ack: equal to protobuf-es both ways", () => {
  const ack = fc.record({
    requestId: uint64,
    code: uint32,
    reason: text(),
    message: text(200),
    result: bytes(300),
    offset: uint64,
    retryAfterMs: uint32,
  });
  fc.assert(fc.property(ack, (init) => {
    expectSame(toBinary(AckSchema, create(AckSchema, init)), readAck, writeAck, {
      request_id: exact(init.requestId),
      code: init.code,
      reason: init.reason,
      message: init.message,
      result: init.result,
      offset: exact(init.offset),
      retry_after_ms: init.retryAfterMs,
    });
  }));
});

/** Decodes the bytes, and our re-encoding of them, by protobuf-es, without unknown fields. */
function bothViews<Schema extends DescMessage, Plain>(
  schema: Schema,
  read: (bytes: Uint8Array) => Plain,
  write: (value: Plain) => Uint8Array,
): (bytes: Uint8Array, source: Uint8Array) => unknown[] {
  return (bytes, source) =>
    [write(read(bytes)), source].map((view) => ({
      ...fromBinary(schema, view),
      $unknown: undefined,
    }));
}

const VIEWS = {
  Ack: bothViews(AckSchema, readAck, writeAck),
  Refresh: bothViews(RefreshSchema, readRefresh, writeRefresh),
  Subscribe: bothViews(SubscribeSchema, readSubscribe, writeWhole),
  Unsubscribe: bothViews(UnsubscribeSchema, readUnsubscribe, writeUnsubscribe),
  Welcome: bothViews(WelcomeSchema, readWelcome, writeWelcome),
};

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

for (const [name, views] of Object.entries(VIEWS)) {
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
  for (const read of [readSubscribe, readUnsubscribe, readRefresh]) {
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
  assert.throws(() => writeWelcome({ server_time_ms: -(2 ** 60) }), TypeError);
});
