/**
 * A revocation as stored in the bucket `ARQON_REVOCATIONS`: which tokens are revoked. Only the stored form:
 * `shield/admin/operations/revocations_api.ts` decides who may revoke, `shield/auth/revocations.ts` applies
 * revocations.
 */
import { isId } from "@arqon/proto";
import { z } from "zod";
import type { KvKey } from "../spine/contract/spine.ts";
import { isUserId, StoredTime } from "./bans.ts";
import { requireForm, requireStored, type StoredAs, storedBytes } from "./stored.ts";

/** The bucket of all tenants' revocations. */
export const REVOCATIONS_BUCKET = "ARQON_REVOCATIONS";
/** In place of a user or token id: the whole tenant. */
export const EVERY_TOKEN = "*";
/** Longest reason, in UTF-16 units. */
export const REVOCATION_REASON_UNITS_MAX = 256;
/** Longest token id, in UTF-8 bytes, that still fits into a key of the bucket. */
const TOKEN_ID_BYTES_MAX = 512;

/**
 * What a revocation revokes: a user's tokens issued before a time, one token by its `jti`, or all tokens of the tenant
 * issued before a time.
 */
export const REVOCATION_KINDS = ["user", "token", "issued-before"] as const;

type RevocationKind = typeof REVOCATION_KINDS[number];

/** What is wrong with an id of that kind; undefined: nothing. */
export function revocationIdProblem(kind: RevocationKind, id: string): string | undefined {
  if (kind === "issued-before") return id === EVERY_TOKEN ? undefined : 'expected "*"';
  if (kind === "user") return isUserId(id) ? undefined : "expected 1 to 128 bytes";
  const size = new TextEncoder().encode(id).length;
  const is_right = id.isWellFormed() && size >= 1 && size <= TOKEN_ID_BYTES_MAX;
  return is_right ? undefined : `expected 1 to ${TOKEN_ID_BYTES_MAX} bytes`;
}

const Members = z.strictObject({
  kind: z.enum(REVOCATION_KINDS),
  /** The user id or `jti`; `EVERY_TOKEN` for the whole tenant. */
  id: z.string(),
  /** Unix ms: revokes tokens issued (`iat`) earlier, and those without `iat`. 0 for one token by its id. */
  issued_before_ms: StoredTime,
  /** Expiry of the revocation, Unix ms, since no such token lives longer; 0: never. */
  until_ms: StoredTime,
  /** The reason for people, the holder of the token included. */
  reason: z.string().max(REVOCATION_REASON_UNITS_MAX),
  /** User id of the admin who revoked. */
  by: z.string().max(REVOCATION_REASON_UNITS_MAX),
  /** Unix ms. */
  created_ms: StoredTime,
});
const Stored = Members.extend({ format: z.literal(1) })
  .superRefine(({ kind, id, issued_before_ms }, context) => {
    const message = revocationIdProblem(kind, id);
    if (message !== undefined) context.addIssue({ code: "custom", path: ["id"], message });
    if ((kind === "token") === (issued_before_ms === 0)) return;
    const path = ["issued_before_ms"];
    context.addIssue({ code: "custom", path, message: "expected 0 for a token, else a time" });
  });

/** A revocation of tokens, whichever issuer of the tenant signed them. */
export type Revocation = StoredAs<typeof Members>;

/** The key of a revocation in the bucket. */
export function revocationKey(
  tenant_id: string,
  { kind, id }: Pick<Revocation, "kind" | "id">,
): KvKey {
  return [tenant_id, kind, id];
}

/** The parts of a key in the bucket; undefined for any other key. */
export function parseRevocationKey(
  key: KvKey,
): { tenant_id: string; kind: RevocationKind; id: string } | undefined {
  const [tenant_id = "", named = "", id = ""] = key;
  const kind = REVOCATION_KINDS.find((known) => known === named);
  if (key.length !== 3 || kind === undefined || !isId(tenant_id)) return undefined;
  return revocationIdProblem(kind, id) === undefined ? { tenant_id, kind, id } : undefined;
}

/** The stored form. Throws TypeError, naming the fault, for a revocation that no reader would accept. */
export function encodeRevocation(revocation: Revocation): Uint8Array {
  const { kind, id, issued_before_ms, until_ms, reason, by, created_ms } = revocation;
  const stored = { format: 1, kind, id, issued_before_ms, until_ms, reason, by, created_ms };
  requireForm(stored, Stored, "revocation");
  return storedBytes(stored);
}

/** As `requireStored`. The caller checks that it is stored under its own key. */
export function decodeRevocation(bytes: Uint8Array): Revocation {
  const { format: _format, ...revocation } = requireStored(bytes, Stored, "revocation");
  return revocation;
}

/**
 * Whether a revocation of a user or a tenant covers a token issued at that time (Unix ms; undefined: the token does not
 * say).
 */
export function isIssuedBefore(
  { issued_before_ms }: Pick<Revocation, "issued_before_ms">,
  issued_ms: number | undefined,
): boolean {
  return issued_ms === undefined || issued_ms < issued_before_ms;
}

/** A revocation that covers both, so that a second one for the same tokens never readmits what the first revoked. */
export function widest(one: Revocation, other: Revocation): Revocation {
  const ends = [one.until_ms, other.until_ms];
  return {
    ...other,
    issued_before_ms: Math.max(one.issued_before_ms, other.issued_before_ms),
    until_ms: ends.includes(0) ? 0 : Math.max(...ends),
  };
}
