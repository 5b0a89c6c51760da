// Signers from keys, and the frame with its signature as the Shield's own reader sees it.
import assert from "node:assert/strict";
import { encodePub, scanEnvelope, writeEnvelope } from "@arqon/proto";
import { ed25519Signer, signedFrame } from "./signing.ts";
import { LIMITS } from "../testing/scripted_peer.ts";

const algorithm = { name: "Ed25519" };
const pair = async () =>
  await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]) as CryptoKeyPair;

Deno.test("a CryptoKey and its JWK sign alike, and the public key verifies it", async () => {
  const { privateKey, publicKey } = await pair();
  const jwk = await crypto.subtle.exportKey("jwk", privateKey);
  const data = new Uint8Array([1, 2, 3]);
  const signature = await (await ed25519Signer(privateKey)).sign(data);
  // Ed25519 is deterministic. Other members of a JWK (`alg`, `key_ops`) do not matter.
  const other = await ed25519Signer({ ...jwk, alg: "EdDSA", key_ops: ["verify"] });
  assert.deepEqual(await other.sign(data), signature);
  const bytes = signature as Uint8Array<ArrayBuffer>;
  assert.ok(await crypto.subtle.verify("Ed25519", publicKey, bytes, data));
});

Deno.test("a key that cannot sign is a TypeError which does not quote it", async () => {
  const { privateKey, publicKey } = await pair();
  const jwk = await crypto.subtle.exportKey("jwk", privateKey);
  const { d = "", ...half } = jwk;
  const refused = (error: unknown) => error instanceof TypeError && !String(error).includes(d);
  for (
    const key of [
      half,
      { ...jwk, crv: "X25519" },
      { ...jwk, kty: "EC", crv: "P-256" },
      { ...jwk, d: d.slice(1) },
      publicKey,
      await crypto.subtle.generateKey({ name: "HMAC", hash: "SHA-256" }, true, ["sign"]),
      {},
    ]
  ) {
    await assert.rejects(ed25519Signer(key as JsonWebKey), refused);
  }
});

Deno.test("a signed frame is the same envelope with a signature", () => {
  const envelope = { room_id: "lobby", message_id: "m", event: { type: "x" } };
  const signature = new Uint8Array(64).fill(7);
  const frame = signedFrame(encodePub(writeEnvelope({ ...envelope, request_id: 5 })), signature);
  const scan = scanEnvelope(frame, LIMITS, 1);
  assert.deepEqual([scan.room_id, scan.message_id, scan.request_id], ["lobby", "m", 5]);
  assert.deepEqual(new Uint8Array(scan.signature ?? []), signature);
});
