/**
 * Ed25519 signatures of messages: whether one is required, and whether it verifies. Runs before schema and policy. Keys
 * are in the identity (`cnf.jwk`); `authorize.ts` decides what a user may send.
 */
import { ArqonError, matchesRoomPattern, type ScannedEnvelope, signingInput } from "@arqon/proto";
import type { Config } from "../../shared/config/schema.ts";
import type { Identity } from "../auth/identity.ts";
import type { Settings } from "../settings/settings.ts";

/** Roles and rooms whose messages must be signed. */
export type SignatureRules = Config["auth"]["require_signature"];

/** The signature requirements of a tenant: called for each message, never waits. */
export interface SignatureDemands {
  of(tenant_id: string): SignatureRules;
}

/** The current `[auth] require_signature`, and the tenant's own. */
export function signatureDemands(
  auth: Pick<Config["auth"], "require_signature">,
  settings: Pick<Settings, "get">,
): SignatureDemands {
  // A tenant's list is replaced as a whole, never changed.
  const joined = new WeakMap<SignatureRules, { general: SignatureRules; all: SignatureRules }>();
  return {
    of(tenant_id) {
      const own = settings.get(tenant_id).require_signature;
      const general = auth.require_signature;
      if (own === undefined || own.length === 0) return general;
      const known = joined.get(own);
      if (known?.general === general) return known.all;
      const all = [...general, ...own];
      joined.set(own, { general, all });
      return all;
    },
  };
}

const SIGNATURE_BYTES = 64;

/** True when a message of `role` to `room` must carry a signature. */
export function isSignatureRequired(
  rules: SignatureRules,
  role: Identity["role"],
  room: string,
): boolean {
  return rules.some((rule) => rule.role === role && matchesRoomPattern(rule.room, room));
}

type SignedParts = Pick<
  ScannedEnvelope,
  "bytes" | "room_id" | "message_id" | "signature" | "payload"
>;

/**
 * Verifies the signature of `scan` with the identity's key. Returns nothing at once if there is none and none is
 * required, so that the unsigned path costs no turn; otherwise a promise that rejects with `signature-invalid`. Throws
 * `signature-required` or `signature-no-key` (all 403).
 */
export function verifySignature(
  scan: SignedParts,
  identity: Pick<Identity, "tenant_id" | "role" | "signing_key">,
  rules: SignatureRules,
): Promise<void> | undefined {
  const { signature } = scan;
  if (signature === undefined) {
    if (rules.length === 0) return undefined;
    if (!isSignatureRequired(rules, identity.role, scan.room_id)) return undefined;
    throw new ArqonError("signature-required", scan.room_id);
  }
  if (identity.signing_key === undefined) throw new ArqonError("signature-no-key");
  if (signature.length !== SIGNATURE_BYTES) throw new ArqonError("signature-invalid");
  return verify(scan, signature, identity.tenant_id, identity.signing_key);
}

async function verify(
  scan: SignedParts,
  signature: Uint8Array,
  tenant_id: string,
  key: CryptoKey,
): Promise<void> {
  const payload_field = scan.bytes.subarray(scan.payload.field_start, scan.payload.field_end);
  // The tenant is the token's, not the envelope's: an absent tenant_id means the token's.
  const input = signingInput(tenant_id, scan.room_id, scan.message_id, payload_field);
  // The signature is copied out: crypto.subtle refuses views on shared memory.
  const valid = await crypto.subtle.verify("Ed25519", key, new Uint8Array(signature), input);
  if (!valid) throw new ArqonError("signature-invalid");
}
