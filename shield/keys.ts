/**
 * Public keys of one issuer: reads a JWK set or a PEM file into an index by algorithm and key id.
 * Not fetching (`remote_keys.ts`) and not verification (`authenticate.ts`).
 */
import { exportJWK, importJWK, importSPKI, importX509 } from "@panva/jose";
import type { JWK } from "@panva/jose";
import type { Config } from "../shared/config/schema.ts";

/** JWS `alg` values that a config may list: RS256, ES256, EdDSA. */
export type Algorithm = Config["auth"]["issuers"][number]["algorithms"][number];

/** NIST SP 800-131A: shorter RSA keys are not acceptable. */
const RSA_BITS_MIN = 2_048;
/** Longer ones only make each verification slow. */
const RSA_BITS_MAX = 8_192;
/** Keys read from one set; issuers publish two or three. */
const KEYS_MAX = 64;
const KID_UNITS_MAX = 256;

/** The keys of one set that can verify tokens. */
export interface KeyIndex {
  readonly size: number;
  /**
   * The key of this algorithm and `kid`. Without a `kid`: the only key of the algorithm, and
   * nothing when there are several, because guessing would hide a missing `kid`.
   */
  find(alg: Algorithm, kid: string | undefined): CryptoKey | undefined;
}

/** What reading one set gave: bad members are left out, not fatal. */
export interface LoadedKeys {
  readonly index: KeyIndex;
  /** What is wrong with members of the set, for the log or a start error; never key material. */
  readonly problems: readonly string[];
}

interface UsableKey {
  readonly alg: Algorithm;
  readonly kid: string | undefined;
  readonly key: CryptoKey;
}

function indexOf(keys: readonly UsableKey[]): KeyIndex {
  const byKid = new Map<string, CryptoKey>();
  const byAlgorithm = new Map<Algorithm, CryptoKey[]>();
  for (const { alg, kid, key } of keys) {
    if (kid !== undefined) byKid.set(`${alg} ${kid}`, key);
    byAlgorithm.set(alg, [...byAlgorithm.get(alg) ?? [], key]);
  }
  return {
    size: keys.length,
    find(alg, kid) {
      if (kid !== undefined) return byKid.get(`${alg} ${kid}`);
      const candidates = byAlgorithm.get(alg) ?? [];
      return candidates.length === 1 ? candidates[0] : undefined;
    },
  };
}

/** The one algorithm of ours that a JWK is for; undefined for encryption keys and other kinds. */
function algorithmOf(jwk: JWK): Algorithm | undefined {
  if (jwk.use !== undefined && jwk.use !== "sig") return undefined;
  if (Array.isArray(jwk.key_ops) && !jwk.key_ops.includes("verify")) return undefined;
  if (jwk.kty === "RSA") return (jwk.alg ?? "RS256") === "RS256" ? "RS256" : undefined;
  if (jwk.kty === "EC") return jwk.crv === "P-256" ? "ES256" : undefined;
  if (jwk.kty !== "OKP" || jwk.crv !== "Ed25519") return undefined;
  // RFC 9864 renamed the key's algorithm to "Ed25519"; tokens still say EdDSA.
  return ["EdDSA", "Ed25519"].includes(jwk.alg ?? "EdDSA") ? "EdDSA" : undefined;
}

function rsaProblem(key: CryptoKey): string | undefined {
  const bits = (key.algorithm as Partial<RsaHashedKeyAlgorithm>).modulusLength;
  if (bits === undefined || (bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX)) return undefined;
  return `is an RSA key of ${bits} bits; expected ${RSA_BITS_MIN} to ${RSA_BITS_MAX}`;
}

/** A key, `undefined` when the member is not for us, or what is wrong with it. */
async function usableKey(
  jwk: JWK,
  algorithms: readonly Algorithm[],
): Promise<UsableKey | string | undefined> {
  if (jwk.kty === "oct") return "is symmetric; expected a public RSA, EC P-256 or Ed25519 key";
  if (jwk.d !== undefined) return 'is a private key; remove "d" and the other private members';
  const { kid } = jwk;
  if (kid !== undefined && (typeof kid !== "string" || kid.length > KID_UNITS_MAX)) {
    return `has a kid that is not a string of at most ${KID_UNITS_MAX} characters`;
  }
  const alg = algorithmOf(jwk);
  if (alg === undefined || !algorithms.includes(alg)) return undefined;
  try {
    const { alg: _alg, use: _use, key_ops: _ops, ext: _ext, ...material } = jwk;
    const key = await importJWK(material, alg);
    if (key instanceof Uint8Array) return "is symmetric; expected a public key";
    return rsaProblem(key) ?? { alg, kid, key };
  } catch {
    return `is not a valid ${jwk.kty} key`;
  }
}

function isJwkSet(value: unknown): value is { keys: JWK[] } {
  if (typeof value !== "object" || value === null || !("keys" in value)) return false;
  return Array.isArray(value.keys) &&
    value.keys.every((key) => typeof key === "object" && key !== null && !Array.isArray(key));
}

/** Reads the text of a JWK set. Throws TypeError, with what would be right, when it is none. */
export async function keysFromJwks(
  text: string,
  algorithms: readonly Algorithm[],
): Promise<LoadedKeys> {
  const expected =
    'expected a JWK set: {"keys": [{"kty": "RSA", "kid": "…", "n": "…", "e": "AQAB"}]}';
  let set: unknown;
  try {
    set = JSON.parse(text);
  } catch {
    throw new TypeError(`it is not JSON; ${expected}`);
  }
  if (!isJwkSet(set)) throw new TypeError(`it is not a JWK set; ${expected}`);
  const problems: string[] = [];
  if (set.keys.length > KEYS_MAX) {
    problems.push(`the set has ${set.keys.length} keys; at most ${KEYS_MAX} are read`);
  }
  const usable: UsableKey[] = [];
  const seen = new Set<string>();
  for (const [position, jwk] of set.keys.slice(0, KEYS_MAX).entries()) {
    const name = typeof jwk.kid === "string" ? JSON.stringify(jwk.kid.slice(0, 64)) : "without kid";
    const result = await usableKey(jwk, algorithms);
    if (result === undefined) continue;
    if (typeof result === "string") {
      problems.push(`key ${position + 1} (${name}) ${result}`);
      continue;
    }
    const id = `${result.alg} ${result.kid}`;
    if (result.kid !== undefined && seen.has(id)) {
      problems.push(`key ${position + 1} (${name}) repeats a kid; each key needs its own`);
      continue;
    }
    seen.add(id);
    usable.push(result);
  }
  return { index: indexOf(usable), problems };
}

const PEM_EXPECTED =
  'expected one "-----BEGIN PUBLIC KEY-----" (SPKI) or "-----BEGIN CERTIFICATE-----" block';

/** What to do about PEM files of other kinds, by the label of their first block. */
function pemHint(label: string): string {
  if (label.includes("PRIVATE")) {
    return "it holds a private key; give only the public half: openssl pkey -in KEY -pubout";
  }
  if (label === "RSA PUBLIC KEY") {
    return "it holds a PKCS#1 key; convert it: openssl rsa -RSAPublicKey_in -in KEY -pubout";
  }
  return `it holds a block "${label}"; ${PEM_EXPECTED}`;
}

/**
 * Reads a PEM with one public key or certificate. Its key has no id: it verifies tokens with any
 * `kid`. Throws TypeError with what would be right.
 */
export async function keyFromPem(
  text: string,
  algorithms: readonly Algorithm[],
): Promise<LoadedKeys> {
  const labels = [...text.matchAll(/-----BEGIN ([A-Z0-9 ]{1,40})-----/g)].map((match) => match[1]);
  const label = labels[0];
  if (label === undefined) throw new TypeError(`it is not PEM; ${PEM_EXPECTED}`);
  if (label !== "PUBLIC KEY" && label !== "CERTIFICATE") throw new TypeError(pemHint(label));
  if (labels.length > 1) throw new TypeError(`it holds ${labels.length} blocks; ${PEM_EXPECTED}`);
  const pem = text.slice(text.indexOf("-----BEGIN")).trimEnd();
  const read = label === "CERTIFICATE" ? importX509 : importSPKI;
  for (const alg of algorithms) {
    const key = await read(pem, alg, { extractable: true }).catch(() => undefined);
    if (key === undefined) continue;
    const problem = rsaProblem(key);
    if (problem !== undefined) throw new TypeError(`it ${problem}`);
    // Through JWK once more: WebCrypto checks a JWK's point more strictly than some SPKI parsers.
    const checked = await importJWK(await exportJWK(key), alg) as CryptoKey;
    const index: KeyIndex = { size: 1, find: (wanted) => wanted === alg ? checked : undefined };
    return { index, problems: [] };
  }
  throw new TypeError(
    `its key does not fit the issuer's algorithms (${
      algorithms.join(", ")
    }); RS256 needs an RSA key, ES256 a P-256 key, EdDSA an Ed25519 key`,
  );
}
