/** The signed bytes: their exact form, and that an Ed25519 key of Web Crypto signs them. */
import assert from "node:assert/strict";
import { writeEnvelope } from "./envelope.ts";
import { scanEnvelope } from "./scan.ts";
import { signingInput } from "./signing.ts";
import { OwnBuffers, stampRouted } from "../frame/stamp.ts";
import { WIDE } from "../testing/arbitraries.ts";

Deno.test("the signing input is each part after its big-endian length", () => {
  const input = signingInput("acme", "é", "", new Uint8Array([0xaa, 0x01, 0x00]));
  assert.equal(
    Array.from(input, (byte) => byte.toString(16).padStart(2, "0")).join(""),
    "000000086172716f6e2e7631" + "0000000461636d65" + "00000002c3a9" + "00000000" +
      "00000003aa0100",
  );
});

Deno.test("parts cannot be shifted into each other", () => {
  const payload = new Uint8Array([1]);
  assert.notDeepEqual(signingInput("ab", "c", "", payload), signingInput("a", "bc", "", payload));
});

Deno.test("a signature over the payload field still verifies after the stamp", async () => {
  const { privateKey, publicKey } = await crypto.subtle.generateKey("Ed25519", true, [
    "sign",
    "verify",
  ]) as CryptoKeyPair;
  const input = (bytes: Uint8Array) => {
    const { message_id, payload } = scanEnvelope(bytes, WIDE);
    const field = bytes.subarray(payload.field_start, payload.field_end);
    return signingInput("acme", "lobby", message_id, field);
  };
  const event = { type: "chat", data: new TextEncoder().encode("hello") };
  const unsigned = input(writeEnvelope({ message_id: "m-1", event }));
  const signature = new Uint8Array(await crypto.subtle.sign("Ed25519", privateKey, unsigned));
  const routed = stampRouted(
    scanEnvelope(writeEnvelope({ message_id: "m-1", signature, event }), WIDE),
    {
      trace_id: "f".repeat(32),
      tenant_id: "acme",
      room_id: "lobby",
      timestamp_ms: 1,
      sender_id: "ann",
      twist_id: "01890a5d-ac96-774b-bcce-b302099a8057",
    },
    new OwnBuffers(),
  );
  const kept = new Uint8Array(scanEnvelope(routed, WIDE).signature ?? []);
  assert.equal(await crypto.subtle.verify("Ed25519", publicKey, kept, input(routed)), true);
});
