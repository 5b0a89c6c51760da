/** The stamper: new Shield's fields, and the sender's bytes unchanged. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import assert from "node:assert/strict";
import { DecodeError } from "../errors/error.ts";
import { readEnvelope } from "../envelope/envelope.ts";
import { type Envelope, EnvelopeSchema } from "../testing/schemas.ts";
import { Opcode } from "./opcode.ts";
import { scanEnvelope, type ScannedEnvelope } from "../envelope/scan.ts";
import { hasShadowHeader, OwnBuffers, type Stamp, stampRouted } from "./stamp.ts";
import { envelopeBytes, nearlyEnvelope, text, WIDE } from "../testing/arbitraries.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const RESERVED = /^(x-arqon-.*|x-timestamp|x-twist-id)$/is;

const STAMP: Stamp = {
  trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
  tenant_id: "acme",
  room_id: "lobby",
  timestamp_ms: 1_790_000_000_123,
  sender_id: "user-1",
  twist_id: "01890a5d-ac96-774b-bcce-b302099a8057",
};

const anyStamp: fc.Arbitrary<Stamp> = fc.record({
  trace_id: fc.constantFrom(STAMP.trace_id, "f".repeat(32)),
  tenant_id: text(64),
  room_id: text(64),
  timestamp_ms: fc.oneof(fc.nat(), fc.maxSafeInteger().map(Math.abs)),
  sender_id: text(128),
  twist_id: fc.uuid(),
});

function owned(scan: ScannedEnvelope): number[] {
  const out: number[] = [];
  for (let at = 0; at < scan.owned_spans.length; at += 2) {
    out.push(...scan.bytes.subarray(scan.owned_spans[at]!, scan.owned_spans[at + 1]!));
  }
  return out;
}

function expectedHeaders(sent: Record<string, string>, stamp: Stamp): [string, string][] {
  const entries = Object.entries(sent);
  const twist = entries.find(([name]) => name.toLowerCase() === "x-twist-id")?.[1] ?? "";
  return [
    ...entries.filter(([name]) => !RESERVED.test(name)),
    ["X-Twist-ID", UUID.test(twist) ? twist : stamp.twist_id] as [string, string],
    ["X-Timestamp", String(stamp.timestamp_ms)] as [string, string],
  ].sort();
}

function expectStamped(bytes: Uint8Array, stamp: Stamp): void {
  const scan = scanEnvelope(bytes, WIDE);
  const sent = readEnvelope(bytes.subarray());
  const space = new OwnBuffers();
  const stamped = stampRouted(scan, stamp, space);
  assert.equal(space.bytes[0], Opcode.MSG);
  assert.deepEqual(space.bytes.subarray(1), stamped);
  const routed: Envelope = fromBinary(EnvelopeSchema, stamped);
  assert.equal(routed.traceId, stamp.trace_id);
  assert.equal(routed.tenantId, stamp.tenant_id);
  assert.equal(routed.roomId, stamp.room_id);
  assert.equal(routed.timestamp, BigInt(stamp.timestamp_ms));
  assert.equal(routed.senderId, stamp.sender_id);
  assert.equal(routed.ackRequested, false);
  assert.equal(routed.requestId, 0n);
  assert.equal(routed.offset, 0n);
  assert.deepEqual(Object.entries(routed.headers).sort(), expectedHeaders(sent.headers, stamp));
  assert.equal(routed.messageId, scan.message_id);
  assert.equal(routed.payload.case, scan.payload.kind);
  const sender_bytes = owned(scan);
  assert.deepEqual(
    Array.from(stamped.subarray(stamped.length - sender_bytes.length)),
    sender_bytes,
  );
  assert.equal(readEnvelope(stamped).sender_id, stamp.sender_id);
  const again = scanEnvelope(stamped, WIDE);
  assert.deepEqual(owned(again), sender_bytes);
}

Deno.test("stamped envelopes have the Shield's fields and the sender's bytes, read by protobuf-es", () => {
  fc.assert(
    fc.property(envelopeBytes, anyStamp, (bytes, stamp) => expectStamped(bytes, stamp)),
    { numRuns: 1_000 },
  );
});

Deno.test("whatever the scanner accepts can be stamped", () => {
  fc.assert(
    fc.property(nearlyEnvelope, anyStamp, (bytes, stamp) => {
      try {
        scanEnvelope(bytes, WIDE);
      } catch (error) {
        assert.ok(error instanceof DecodeError);
        return;
      }
      // The plain reader is for stamped envelopes: a client's own timestamp may exceed 2^53.
      const routed = stampRouted(scanEnvelope(bytes, WIDE), stamp, new OwnBuffers());
      assert.equal(readEnvelope(routed).tenant_id, stamp.tenant_id);
    }),
    { numRuns: 3_000 },
  );
});

function stampWith(headers: Record<string, string>): Record<string, string> {
  const sent = toBinary(
    EnvelopeSchema,
    create(EnvelopeSchema, { headers, payload: { case: "event", value: { type: "t" } } }),
  );
  const routed = stampRouted(scanEnvelope(sent, WIDE), STAMP, new OwnBuffers());
  return fromBinary(EnvelopeSchema, routed).headers;
}

Deno.test("reserved headers are dropped in any case, all others kept", () => {
  const kept = { "x-arqon": "1", "X-Custom": "2", "x": "3", "": "4", "X-Twist-IDs": "5" };
  const dropped = { "x-arqon-": "1", "X-ARQON-Hook": "2", "X-timeSTAMP": "3" };
  assert.deepEqual(stampWith({ ...kept, ...dropped }), {
    ...kept,
    "X-Twist-ID": STAMP.twist_id,
    "X-Timestamp": "1790000000123",
  });
});

Deno.test("a header added by a policy replaces the sender's, in any case", () => {
  const sent = toBinary(
    EnvelopeSchema,
    create(EnvelopeSchema, {
      headers: { "X-Score": "forged", "X-Kept": "1" },
      payload: { case: "event", value: { type: "t" } },
    }),
  );
  const added_headers = [["x-score", "0.9"], ["X-Lang", "é"]] as const;
  const stamp = { ...STAMP, added_headers };
  const routed = stampRouted(scanEnvelope(sent, WIDE), stamp, new OwnBuffers());
  assert.deepEqual(fromBinary(EnvelopeSchema, routed).headers, {
    "X-Kept": "1",
    "x-score": "0.9",
    "X-Lang": "é",
    "X-Twist-ID": STAMP.twist_id,
    "X-Timestamp": "1790000000123",
  });
});

Deno.test("the client's X-Twist-ID is kept, under its canonical name, if it is a UUID", () => {
  const own = "018F0A5D-ac96-774b-bcce-b302099a8057";
  assert.equal(stampWith({ "x-twist-id": own })["X-Twist-ID"], own);
  for (const bad of ["", own.slice(1), `${own}0`, own.replace("-", "0"), own.replace("F", "g")]) {
    assert.equal(stampWith({ "x-TWIST-id": bad })["X-Twist-ID"], STAMP.twist_id, bad);
  }
});

Deno.test("forged routing fields are replaced", () => {
  const forged = toBinary(
    EnvelopeSchema,
    create(EnvelopeSchema, {
      tenantId: "victim",
      roomId: "other",
      senderId: "admin",
      timestamp: 1n,
      offset: 99n,
      requestId: 5n,
      ackRequested: true,
      payload: { case: "event", value: { type: "t" } },
    }),
  );
  expectStamped(forged, STAMP);
});

Deno.test("hasShadowHeader detects x-arqon-shadow in any case, and nothing else", () => {
  const shadow = (name: string) =>
    hasShadowHeader(scanEnvelope(
      toBinary(
        EnvelopeSchema,
        create(EnvelopeSchema, { headers: { [name]: "" }, payload: { case: "event", value: {} } }),
      ),
      WIDE,
    ));
  assert.equal(shadow("x-arqon-shadow"), true);
  assert.equal(shadow("X-Arqon-SHADOW"), true);
  assert.equal(shadow("x-arqon-shadows"), false);
  assert.equal(shadow("x-arqon-shado"), false);
  assert.equal(shadow("y-arqon-shadow"), false);
});
