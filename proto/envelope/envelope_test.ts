/** The plain envelope against protobuf-es: reading, writing, and Protobuf's merging. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import assert from "node:assert/strict";
import { DecodeError } from "../errors/error.ts";
import { type EnvelopeInput, readEnvelope, type SignalKind, writeEnvelope } from "./envelope.ts";
import { type Envelope, EnvelopeSchema, SIGNAL_KINDS } from "../testing/schemas.ts";
import { anyBytes, envelopeBytes } from "../testing/arbitraries.ts";
import { countReads } from "../testing/read_counter.ts";

const exact = (value: bigint) => value <= 2n ** 53n - 1n ? Number(value) : value;

function payloadOf({ payload }: Envelope): EnvelopeInput {
  if (payload.case === "event") {
    const { type, data, contentType: content_type, schemaId: schema_id } = payload.value;
    return { event: { type, data, content_type, schema_id } };
  }
  if (payload.case === "cmd") {
    const command = payload.value;
    return {
      command: {
        name: command.name,
        data: command.data,
        content_type: command.contentType,
        expect_version: exact(command.expectVersion),
        after_version: exact(command.afterVersion),
        fence: exact(command.fence),
        epoch: command.epoch,
        command_id: command.commandId,
      },
    };
  }
  if (payload.case !== "signal") return {};
  const { kind, target, reason, untilMs } = payload.value;
  const name = SIGNAL_KINDS.get(kind) as SignalKind;
  return { signal: { kind: name, target, reason, until_ms: Number(untilMs) } };
}

function expectSame(bytes: Uint8Array): void {
  const envelope = fromBinary(EnvelopeSchema, bytes);
  const plain = readEnvelope(bytes);
  assert.deepEqual({ ...plain, headers: Object.entries(plain.headers).sort() }, {
    trace_id: envelope.traceId,
    tenant_id: envelope.tenantId,
    room_id: envelope.roomId,
    timestamp_ms: Number(envelope.timestamp),
    headers: Object.entries(envelope.headers).sort(),
    ack_requested: envelope.ackRequested,
    request_id: exact(envelope.requestId),
    sender_id: envelope.senderId,
    offset: exact(envelope.offset),
    message_id: envelope.messageId,
    ...(envelope.signature.length > 0 ? { signature: envelope.signature } : {}),
    ...payloadOf(envelope),
  });
}

Deno.test("readEnvelope reads what protobuf-es writes, and two envelopes in a row merge alike", () => {
  fc.assert(fc.property(envelopeBytes, envelopeBytes, (one, other) => {
    expectSame(one);
    expectSame(new Uint8Array([...one, ...other]));
  }));
});

Deno.test("protobuf-es reads what writeEnvelope writes", () => {
  fc.assert(fc.property(envelopeBytes, (bytes) => {
    const written = writeEnvelope(readEnvelope(bytes));
    assert.deepEqual(fromBinary(EnvelopeSchema, written), fromBinary(EnvelopeSchema, bytes));
  }));
});

Deno.test("any bytes give an envelope or DecodeError, within bounds and in linear time", () => {
  fc.assert(
    fc.property(anyBytes, (source) => {
      const { bytes, reads } = countReads(source);
      try {
        readEnvelope(bytes);
      } catch (error) {
        assert.ok(error instanceof DecodeError, String(error));
      }
      assert.ok(reads() <= 4 * source.length, `${reads()} reads of ${source.length}`);
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("headers have no prototype to trip over", () => {
  const headers: Record<string, string> = Object.create(null);
  headers["__proto__"] = "p";
  headers["constructor"] = "c";
  const read = readEnvelope(writeEnvelope({ headers, event: {} })).headers;
  assert.equal(Object.getPrototypeOf(read), null);
  assert.deepEqual(Object.entries(read), [["__proto__", "p"], ["constructor", "c"]]);
});

Deno.test("a payload is written also when it is empty", () => {
  assert.deepEqual(writeEnvelope({ event: {} }), new Uint8Array([0xaa, 0x01, 0x00]));
  assert.equal(readEnvelope(writeEnvelope({ command: {} })).command?.name, "");
  assert.deepEqual(readEnvelope(writeEnvelope({ signal: {} })).signal, {
    kind: "UNSPECIFIED",
    target: "",
    reason: "",
    until_ms: 0,
  });
});

Deno.test("two payloads at once are the writer's own error", () => {
  assert.throws(() => writeEnvelope({ event: {}, command: {} }), TypeError);
});

Deno.test("unknown fields and signal kinds of a newer peer are passed over", () => {
  const bytes = toBinary(
    EnvelopeSchema,
    create(EnvelopeSchema, {
      roomId: "lobby",
      payload: { case: "signal", value: { kind: 99, target: "t" } },
    }),
  );
  const plain = readEnvelope(new Uint8Array([...bytes, 0x9a, 0x06, 1, 0x61, 0x62, 1, 0x61]));
  assert.equal(plain.room_id, "lobby");
  assert.equal(plain.signal?.kind, "UNSPECIFIED");
  assert.equal(plain.signal?.target, "t");
});

Deno.test("a timestamp beyond 2^53 cannot be a number and is refused", () => {
  const far = new Uint8Array([0x20, ...new Array(8).fill(0xff), 0x7f]);
  assert.throws(() => readEnvelope(far), { reason: "invalid-field" });
});

Deno.test("text of every width survives, a lone surrogate becomes U+FFFD", () => {
  for (const text of ["é", "€", "𝄞", "a".repeat(63) + "é", "é".repeat(100), "\uFEFF", "\0"]) {
    assert.equal(readEnvelope(writeEnvelope({ room_id: text, event: {} })).room_id, text);
  }
  assert.equal(readEnvelope(writeEnvelope({ room_id: "\ud800a", event: {} })).room_id, "\ufffda");
});
