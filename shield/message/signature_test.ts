/** Ed25519 over scanned envelopes with real keys: valid signatures, and refusals with their reason. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { scanEnvelope, scannedBytes, signingInput, writeEnvelope } from "@arqon/proto";
import type { ScannedEnvelope } from "@arqon/proto";
import { emptySettings } from "../../shared/records/tenant_settings.ts";
import { isSignatureRequired, signatureDemands, verifySignature } from "./signature.ts";
import type { SignatureRules } from "./signature.ts";

const { publicKey, privateKey } = await crypto.subtle.generateKey("Ed25519", true, [
  "sign",
  "verify",
]) as CryptoKeyPair;
const user = { tenant_id: "acme", role: "user", signing_key: publicKey } as const;
const keyless = { ...user, signing_key: undefined };
const limits = { headers: 16, header_bytes: 1_024, field_bytes: 256 };
const encoder = new TextEncoder();

interface Message {
  readonly room_id: string;
  readonly message_id: string;
  readonly data: string;
}
const message: Message = { room_id: "bank", message_id: "m-1", data: "pay 10" };

function scan(from: Message, signature?: Uint8Array<ArrayBuffer>): ScannedEnvelope {
  const { room_id, message_id, data } = from;
  const event = {
    type: "order",
    data: encoder.encode(data),
    content_type: "text/plain",
    schema_id: "",
  };
  const signed = signature === undefined ? {} : { signature };
  return scanEnvelope(writeEnvelope({ room_id, message_id, event, ...signed }), limits);
}

async function sign(from: Message, tenant_id = "acme"): Promise<Uint8Array<ArrayBuffer>> {
  const { bytes, payload } = scan(from);
  const field = bytes.subarray(payload.field_start, payload.field_end);
  const input = new Uint8Array(signingInput(tenant_id, from.room_id, from.message_id, field));
  return new Uint8Array(await crypto.subtle.sign("Ed25519", privateKey, input));
}

Deno.test("a signature is required by role and room", () => {
  const rules = [{ role: "user", room: "bank-*" }, { role: "service", room: "*" }] as const;
  assert.ok(isSignatureRequired([...rules], "user", "bank-1"));
  assert.ok(!isSignatureRequired([...rules], "user", "chat"));
  assert.ok(isSignatureRequired([...rules], "service", "chat"));
  assert.ok(!isSignatureRequired([...rules], "admin", "bank-1"));
  assert.ok(!isSignatureRequired([], "user", "bank-1"));
});

Deno.test("a tenant's requirements are added to those of the configuration, and both may change", () => {
  const rule = (room: string) => ({ role: "user", room } as const);
  const auth: { require_signature: SignatureRules } = { require_signature: [rule("a")] };
  const own = new Map([["acme", [rule("b")]]]);
  const get = (tenant: string) => ({ ...emptySettings(), require_signature: own.get(tenant) });
  const demands = signatureDemands(auth, { get });
  assert.deepEqual(demands.of("acme"), [rule("a"), rule("b")]);
  assert.equal(demands.of("acme"), demands.of("acme"), "joined once, not for each message");
  assert.equal(demands.of("globex"), auth.require_signature);
  auth.require_signature = [rule("c")];
  assert.deepEqual(demands.of("acme"), [rule("c"), rule("b")]);
  own.set("acme", []);
  assert.equal(demands.of("acme"), auth.require_signature);
});

Deno.test("an unsigned message passes at once if no signature is required, otherwise it is refused", () => {
  assert.equal(verifySignature(scan(message), user, []), undefined);
  const rules = [{ role: "user", room: "bank" } as const];
  assert.throws(() => verifySignature(scan(message), user, rules), {
    reason: "signature-required",
    code: 403,
  });
  assert.equal(verifySignature(scan({ ...message, room_id: "chat" }), user, rules), undefined);
});

Deno.test("the user's own signature verifies", async () => {
  await verifySignature(scan(message, await sign(message)), user, [{ role: "user", room: "*" }]);
});

Deno.test("a signature without a key in the token is refused, also if none is required", async () => {
  const signed = scan(message, await sign(message));
  assert.throws(() => verifySignature(signed, keyless, []), {
    reason: "signature-no-key",
    code: 403,
  });
});

Deno.test("a signature over another message, room, id or tenant does not verify", async () => {
  const signature = await sign(message);
  const changed: Message[] = [
    { ...message, data: "pay 99" },
    { ...message, room_id: "bank2" },
    { ...message, message_id: "m-2" },
    { ...message, message_id: "" },
    // The parts are length-prefixed: moving a character between parts changes the input.
    { ...message, room_id: "bankm", message_id: "-1" },
  ];
  for (const other of changed) {
    const result = verifySignature(scan(other, signature), user, []);
    assert.ok(result !== undefined);
    await assert.rejects(result, { reason: "signature-invalid", code: 403 });
  }
  const foreign = verifySignature(scan(message, await sign(message, "globex")), user, []);
  await assert.rejects(foreign ?? Promise.resolve(), { reason: "signature-invalid" });
});

Deno.test("a signature of a wrong length is refused without a verification", () => {
  for (const length of [1, 63, 65, 200]) {
    assert.throws(() => verifySignature(scan(message, new Uint8Array(length)), user, []), {
      reason: "signature-invalid",
    });
  }
});

Deno.test("one flipped bit anywhere in the signature is refused", async () => {
  const signature = await sign(message);
  await fc.assert(fc.asyncProperty(fc.nat(511), async (bit) => {
    const flipped = signature.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const result = verifySignature(scan(message, flipped), user, []);
    await assert.rejects(result ?? Promise.resolve(), { reason: "signature-invalid" });
  }));
});

Deno.test("the frame may be changed after the call, as the verified bytes were copied", async () => {
  const signed = scan(message, await sign(message));
  const result = verifySignature(signed, user, []);
  scannedBytes(signed).fill(0);
  await result;
});
