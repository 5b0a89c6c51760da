// Envelopes of the bus itself, decoded.
import assert from "node:assert/strict";
import { readEnvelope } from "@arqon/proto";
import { systemEnvelope } from "./system_envelope.ts";

Deno.test("an envelope of the bus is stamped, keeps its own headers and names no sender", () => {
  const now = () => 1_700_000_000_123;
  const random = (size_bytes: number) => new Uint8Array(size_bytes).fill(7);
  const envelope = readEnvelope(systemEnvelope({ now, random }, {
    tenant_id: "acme",
    room_id: "lobby",
    headers: { target_kind: "user" },
    signal: { kind: "DISCONNECT", target: "ann" },
  }));
  assert.equal(envelope.timestamp_ms, 1_700_000_000_123);
  assert.equal(envelope.headers["X-Timestamp"], "1700000000123");
  assert.match(envelope.headers["X-Twist-ID"] ?? "", /^[0-9a-f]{8}-[0-9a-f]{4}-7/);
  assert.equal(envelope.headers["target_kind"], "user");
  assert.equal(envelope.sender_id, "");
  assert.equal(envelope.signal?.target, "ann");
});
