/**
 * What a token says before anybody has verified it: its form, its header, its issuer. Nothing here makes
 * it true (`authenticate.ts`); refusals never quote the token.
 */
import { decodeJwt, decodeProtectedHeader } from "@panva/jose";
import { ArqonError } from "@arqon/proto";
import type { Reason } from "@arqon/proto";
import { parseStrictJsonBytes } from "../../shared/strict_json.ts";
import type { Claims } from "./claims.ts";
import type { Algorithm } from "./keys.ts";

/** Three base64url parts; the last is empty in an unsigned token, which its `alg` refuses. */
const COMPACT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/;
const KID_UNITS_MAX = 256;
const ALGORITHMS: readonly string[] = ["RS256", "ES256", "EdDSA"] satisfies Algorithm[];

function isAlgorithm(alg: string): alg is Algorithm {
  return ALGORITHMS.includes(alg);
}

/** What an unverified token says of itself; used only to choose issuer and key. */
export interface Unverified {
  readonly alg: Algorithm;
  readonly kid: string | undefined;
  readonly iss: string;
}

/** jose's parsers, with our refusal: their messages quote the token. */
function parsed<T>(parse: () => T, part: string): T {
  try {
    return parse();
  } catch {
    throw new ArqonError("token-malformed", `its ${part} is not a JSON object in base64url`);
  }
}

/**
 * Header and payload again, by the letter: jose takes the last of two members of one name, and puts
 * another character where bytes are not UTF-8. Other readers of the same token may take it for another.
 * Throws `token-malformed` and `token-claim` (401).
 */
export function requireOneMeaning(token: string): void {
  const [header = "", payload = ""] = token.split(".");
  requireStrict("header", header, "token-malformed");
  requireStrict("payload", payload, "token-claim");
}

function requireStrict(part: string, text: string, reason: Reason): void {
  try {
    parseStrictJsonBytes(Uint8Array.fromBase64(text, { alphabet: "base64url" }));
  } catch (error) {
    throw new ArqonError(reason, `in its ${part}: ${error instanceof Error ? error.message : ""}`);
  }
}

/**
 * Looks at a token. Throws ArqonError (401) for what can be none of ours.
 */
export function inspect(token: string, token_bytes: number): Unverified {
  if (token === "") throw new ArqonError("token-missing");
  // Units are never more than bytes, and what is not ASCII is refused below.
  if (token.length > token_bytes) {
    throw new ArqonError("token-too-large", `at most ${token_bytes} bytes`);
  }
  if (!COMPACT.test(token)) {
    throw new ArqonError("token-malformed", "expected three base64url parts with dots between");
  }
  const header = parsed(() => decodeProtectedHeader(token), "header");
  const { alg, kid } = header;
  if (typeof alg !== "string") throw new ArqonError("token-malformed", "alg is not a string");
  if (!isAlgorithm(alg)) {
    const name = /^[A-Za-z0-9-]{1,16}$/.test(alg) ? alg : "what it names";
    throw new ArqonError("token-algorithm", `${name} is not accepted`);
  }
  // No extension is understood here, so whatever is critical cannot be honoured (RFC 7515 4.1.11).
  if (header.crit !== undefined) throw new ArqonError("token-malformed", "crit is not supported");
  if (kid !== undefined && (typeof kid !== "string" || kid.length > KID_UNITS_MAX)) {
    throw new ArqonError("token-malformed", "kid is not a short string");
  }
  const { iss }: Claims = parsed(() => decodeJwt(token), "payload");
  if (iss === undefined) throw new ArqonError("token-claim", "iss is missing");
  if (typeof iss !== "string") throw new ArqonError("token-claim", "iss is not a string");
  return { alg, kid, iss };
}
