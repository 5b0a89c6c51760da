/**
 * Makes an identity from the claims of a verified token. Signature, issuer, audience and times are already checked
 * (`authenticate.ts`); every other claim is checked here, strictly: a wrong type is refused with `token-claim` (401)
 * that names the claim and never shows its value.
 */
import { ArqonError, isId, isRoomPattern } from "@arqon/proto";
import type { Config } from "../../shared/config/schema.ts";
import { ed25519KeyProblem, isForSignatures } from "./keys.ts";
import { ACTIONS, NEVER_MS } from "./identity.ts";
import type { Action, Grant, Identity, Role } from "./identity.ts";

type Issuer = Config["auth"]["issuers"][number];
/** A claims set as parsed: no member is known to have a type. */
export type Claims = Readonly<Record<string, unknown>>;

const SUBJECT_BYTES_MAX = 128;
const TOKEN_ID_UNITS_MAX = 256;
/** The most grants: each operation checks them one by one. */
const GRANTS_MAX = 64;
const SECONDS_MAX = NEVER_MS / 1_000;
/** 32 bytes in base64url: the last character has two bits that must be 0. */
const ED25519_X = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;
const ROLES: readonly string[] = ["user", "service", "admin"] satisfies Role[];
/** Controls, format characters, lone surrogates, unassigned; line and paragraph separators. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/u;

function refuse(detail: string): never {
  throw new ArqonError("token-claim", detail);
}

function required(claims: Claims, name: string): unknown {
  const value = claims[name];
  return value === undefined ? refuse(`${name} is missing`) : value;
}

function isRecord(value: unknown): value is Claims {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function subject(claims: Claims): string {
  const value = required(claims, "sub");
  if (typeof value !== "string") return refuse("sub is not a string");
  const size_bytes = new TextEncoder().encode(value).length;
  if (size_bytes < 1 || size_bytes > SUBJECT_BYTES_MAX) {
    return refuse(`sub has ${size_bytes} bytes; expected 1 to ${SUBJECT_BYTES_MAX}`);
  }
  if (UNPRINTABLE.test(value)) return refuse("sub has characters that cannot be printed");
  // Names without a token: clients believe what is said in one, and its message ids are taken for the backend's.
  if (/^(?:pusher|centrifugo):/.test(value)) return refuse("sub is pusher:… or centrifugo:…");
  return value;
}

function tenant(claims: Claims): string {
  const value = required(claims, "tenant_id");
  if (typeof value !== "string") return refuse("tenant_id is not a string");
  return isId(value) ? value : refuse("tenant_id is not 1 to 64 bytes of [A-Za-z0-9_~:=-]");
}

function isRole(value: string): value is Role {
  return ROLES.includes(value);
}

function role(claims: Claims): Role {
  const value = required(claims, "role");
  if (typeof value !== "string") return refuse("role is not a string");
  return isRole(value) ? value : refuse("role is not user, service or admin");
}

function tokenId(claims: Claims): string | undefined {
  const value = claims.jti;
  if (value === undefined) return undefined;
  if (typeof value === "string" && value !== "" && value.length <= TOKEN_ID_UNITS_MAX) return value;
  return refuse(`jti is not a string of 1 to ${TOKEN_ID_UNITS_MAX} characters`);
}

function isAction(value: unknown): value is Action {
  return ACTIONS.some((action) => action === value);
}

function grant(value: unknown, at: string): Grant {
  if (!isRecord(value)) return refuse(`${at} is not an object`);
  const { room, actions } = value;
  if (typeof room !== "string" || !isRoomPattern(room)) {
    return refuse(`${at}.room is not a room id or a prefix followed by *`);
  }
  if (!Array.isArray(actions)) return refuse(`${at}.actions is not an array`);
  const known = actions.filter(isAction);
  if (known.length !== actions.length) {
    return refuse(`${at}.actions has an entry that is not one of ${ACTIONS.join(", ")}`);
  }
  return { room, actions: [...new Set(known)] };
}

function grants(claims: Claims): readonly Grant[] | undefined {
  const value = claims.grants;
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) return refuse("grants is not an array");
  if (value.length > GRANTS_MAX) return refuse(`grants has more than ${GRANTS_MAX} entries`);
  return value.map((entry, index) => grant(entry, `grants[${index}]`));
}

/** The Ed25519 key of `cnf.jwk`; other members of `cnf` are for other protocols. */
async function signingKey(claims: Claims): Promise<CryptoKey | undefined> {
  const confirmation = claims.cnf;
  if (confirmation === undefined) return undefined;
  if (!isRecord(confirmation)) return refuse("cnf is not an object");
  const jwk = confirmation.jwk;
  if (jwk === undefined) return undefined;
  if (!isRecord(jwk)) return refuse("cnf.jwk is not an object");
  if (jwk.d !== undefined) return refuse("cnf.jwk contains a private key");
  const { kty, crv, x, alg, use, key_ops } = jwk;
  if (kty !== "OKP" || crv !== "Ed25519" || typeof x !== "string") {
    return refuse('cnf.jwk is not an Ed25519 key {"kty":"OKP","crv":"Ed25519","x":"…"}');
  }
  if (!isForSignatures({ alg, use, key_ops }, "EdDSA")) {
    return refuse("cnf.jwk is not for signatures, according to its alg, use or key_ops");
  }
  if (!ED25519_X.test(x)) return refuse("cnf.jwk.x is not 32 bytes in base64url");
  const raw = Uint8Array.fromBase64(x, { alphabet: "base64url" });
  const problem = ed25519KeyProblem(raw);
  if (problem !== undefined) return refuse(`cnf.jwk.x ${problem}`);
  return await crypto.subtle.importKey("raw", raw, "Ed25519", true, ["verify"]);
}

/** `token-claim` unless the present times are possible; `exp` is checked apart. */
function requireTimes(claims: Claims): void {
  for (const name of ["nbf", "iat"]) {
    const value = claims[name];
    if (value === undefined) continue;
    if (typeof value !== "number" || Math.abs(value) > SECONDS_MAX) {
      refuse(`${name} is not a time in seconds since 1970`);
    }
  }
}

/**
 * `token-claim` unless every audience is a string: a list with the right string and a number is not an audience claim.
 */
function requireAudience(claims: Claims): void {
  if (!isAudienceClaim(claims.aud)) refuse("aud is not a string or an array of strings");
}

/** The end, in Unix ms, of a validity until `seconds`; see `Identity.expires_ms`. */
export function endMs(seconds: number, now_ms: number, skew_ms: number): number {
  const end_ms = Math.floor(seconds * 1_000);
  return end_ms > now_ms ? end_ms : end_ms + skew_ms;
}

/** Unix ms at which a connection with this token ends. */
function expires_ms(claims: Claims, now_ms: number, skew_ms: number): number {
  const exp = required(claims, "exp");
  if (typeof exp !== "number" || Math.abs(exp) > SECONDS_MAX) {
    return refuse("exp is not a time in seconds since 1970");
  }
  return endMs(exp, now_ms, skew_ms);
}

/** `token-scope` (401) unless the issuer may vouch for this tenant and role. */
function requireScope(issuer: Pick<Issuer, "tenants" | "roles">, tenant_id: string, as: Role) {
  if (!issuer.tenants.some((allowed) => allowed === "*" || allowed === tenant_id)) {
    throw new ArqonError("token-scope", `the issuer may not vouch for tenant ${tenant_id}`);
  }
  if (!issuer.roles.includes(as)) {
    throw new ArqonError("token-scope", `the issuer may not vouch for role ${as}`);
  }
}

/** True for an `aud` of the right type: a string, or an array of strings. */
export function isAudienceClaim(value: unknown): boolean {
  return typeof value === "string" ||
    (Array.isArray(value) && value.every((entry) => typeof entry === "string"));
}

/** The identity of verified claims. Rejects with `token-claim` or `token-scope` (401). */
export async function identityFrom(
  claims: Claims,
  issuer: Pick<Issuer, "issuer" | "tenants" | "roles">,
  now_ms: number,
  skew_ms: number,
): Promise<Identity> {
  requireAudience(claims);
  requireTimes(claims);
  const user_id = subject(claims);
  const tenant_id = tenant(claims);
  const as = role(claims);
  requireScope(issuer, tenant_id, as);
  return {
    tenant_id,
    user_id,
    // A subject has no line break, so two pairs never join to the same key.
    user_key: `${issuer.issuer}\n${user_id}`,
    role: as,
    issuer: issuer.issuer,
    expires_ms: expires_ms(claims, now_ms, skew_ms),
    token_id: tokenId(claims),
    grants: grants(claims),
    signing_key: await signingKey(claims),
    claims,
  };
}
