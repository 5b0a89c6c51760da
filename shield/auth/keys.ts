/**
 * Public keys of one issuer: reads a JWK set or a PEM file into an index by algorithm and key id. `jwks/remote_keys.ts`
 * fetches sets, and `authenticate.ts` verifies tokens.
 */
import { exportJWK, importJWK, importSPKI, importX509, type JWK } from "@panva/jose";
import type { Config } from "../../shared/config/schema.ts";
import { AmbiguousJsonError, parseStrictJson } from "../../shared/strict_json.ts";

/** JWS `alg` values that a config may list: RS256, ES256, EdDSA. */
export type Algorithm = Config["auth"]["issuers"][number]["algorithms"][number];

/** NIST SP 800-131A: shorter RSA keys are not acceptable. */
const RSA_BITS_MIN = 2_048;
/** Longer RSA keys only make each verification slow. */
const RSA_BITS_MAX = 8_192;
/** The most keys read from one set; issuers publish two or three. */
const KEYS_MAX = 64;
const KID_UNITS_MAX = 256;

/** The keys of one set that can verify tokens. */
export interface KeyIndex {
  readonly size: number;
  /**
   * The key of this algorithm and `kid`. Without a `kid`: the only key of the algorithm, or nothing if there are
   * several, since guessing would hide a missing `kid`.
   */
  find(alg: Algorithm, kid: string | undefined): CryptoKey | undefined;
}

/** The result of reading one set: bad members are skipped, not fatal. */
export interface LoadedKeys {
  readonly index: KeyIndex;
  /** The problems of members of the set, for the log or a start error; never key material. */
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

/** The algorithm of keys of this kind, whatever they declare. */
function algorithmOfKind({ kty, crv }: JWK): Algorithm | undefined {
  if (kty === "RSA") return "RS256";
  if (kty === "EC" && crv === "P-256") return "ES256";
  return kty === "OKP" && crv === "Ed25519" ? "EdDSA" : undefined;
}

/** The possible `alg` values of a JWK. RFC 9864 renamed EdDSA of such keys; tokens still use EdDSA. */
const KEY_ALGS: Readonly<Record<Algorithm, readonly string[]>> = {
  RS256: ["RS256"],
  ES256: ["ES256"],
  EdDSA: ["EdDSA", "Ed25519"],
};

/** Whether a JWK's own members allow it to verify signatures of this algorithm. */
export function isForSignatures(
  jwk: Readonly<Record<"alg" | "use" | "key_ops", unknown>> | JWK,
  algorithm: Algorithm,
): boolean {
  const { alg, use, key_ops } = jwk;
  if (use !== undefined && use !== "sig") return false;
  if (alg !== undefined && !(typeof alg === "string" && KEY_ALGS[algorithm].includes(alg))) {
    return false;
  }
  return key_ops === undefined || (Array.isArray(key_ops) && key_ops.includes("verify"));
}

/** The supported algorithm of a JWK; undefined for encryption keys and other kinds. */
function algorithmOf(jwk: JWK): Algorithm | undefined {
  const algorithm = algorithmOfKind(jwk);
  return algorithm !== undefined && isForSignatures(jwk, algorithm) ? algorithm : undefined;
}

/**
 * The problem with an RSA key. With an exponent of 1 every signature verifies, and neither an exponent nor a modulus is
 * even.
 */
function rsaProblem({ n, e }: Pick<JWK, "n" | "e">, key: CryptoKey): string | undefined {
  const { modulusLength: bits } = key.algorithm as RsaHashedKeyAlgorithm;
  if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX) {
    return `is an RSA key of ${bits} bits; expected ${RSA_BITS_MIN} to ${RSA_BITS_MAX}`;
  }
  const [modulus, exponent] = [n, e].map((text = "") =>
    BigInt(`0x0${Uint8Array.fromBase64(text, { alphabet: "base64url" }).toHex()}`)
  );
  if (modulus === undefined || modulus % 2n === 0n) return "is an RSA key with an even modulus";
  if (exponent !== undefined && exponent % 2n === 1n && exponent > 1n) return undefined;
  return "is an RSA key whose exponent is not an odd number of 3 or more";
}

function materialProblem(jwk: JWK, alg: Algorithm, key: CryptoKey): string | undefined {
  if (alg === "RS256") return rsaProblem(jwk, key);
  if (alg === "ES256") return undefined;
  return ed25519KeyProblem(Uint8Array.fromBase64(jwk.x ?? "", { alphabet: "base64url" }));
}

/** The problem with a member of the set for any use. */
function memberProblem({ kty, d, kid }: JWK): string | undefined {
  if (kty === "oct") return "is symmetric; expected a public RSA, EC P-256 or Ed25519 key";
  if (d !== undefined) return 'is a private key; remove "d" and the other private members';
  if (kid === undefined || (typeof kid === "string" && kid.length <= KID_UNITS_MAX)) {
    return undefined;
  }
  return `has a kid that is not a string of at most ${KID_UNITS_MAX} characters`;
}

async function usableKey(jwk: JWK, alg: Algorithm): Promise<UsableKey | string> {
  const { kid } = jwk;
  try {
    const { alg: _alg, use: _use, key_ops: _ops, ext: _ext, ...material } = jwk;
    const key = await importJWK(material, alg);
    if (key instanceof Uint8Array) return "is symmetric; expected a public key";
    return materialProblem(jwk, alg, key) ?? { alg, kid, key };
  } catch {
    return `is not a valid ${jwk.kty} key`;
  }
}

function isJwkSet(value: unknown): value is { keys: JWK[] } {
  if (typeof value !== "object" || value === null || !("keys" in value)) return false;
  return Array.isArray(value.keys) &&
    value.keys.every((key) => typeof key === "object" && key !== null && !Array.isArray(key));
}

/** A valid JWK set whose keys must not be used. */
export class UnusableSetError extends TypeError {
  override readonly name = "UnusableSetError";
}

/** The name of a member of the set in problems. */
function named(position: number, { kid }: JWK): string {
  const name = typeof kid === "string" ? JSON.stringify(kid.slice(0, 64)) : "without kid";
  return `key ${position + 1} (${name})`;
}

function parsedSet(text: string): readonly JWK[] {
  const expected =
    'expected a JWK set: {"keys": [{"kty": "RSA", "kid": "…", "n": "…", "e": "AQAB"}]}';
  let set: unknown;
  try {
    set = parseStrictJson(text);
  } catch (cause) {
    const what = cause instanceof Error ? cause.message : "it is not JSON";
    if (cause instanceof AmbiguousJsonError) throw new UnusableSetError(what);
    throw new TypeError(`${what}; ${expected}`);
  }
  if (!isJwkSet(set)) throw new TypeError(`it is not a JWK set; ${expected}`);
  const { keys } = set;
  if (keys.length <= KEYS_MAX) return keys;
  throw new UnusableSetError(`the set has ${keys.length} keys; at most ${KEYS_MAX} are allowed`);
}

/**
 * Parses a JWK set. Throws TypeError, with what is expected, for an invalid one, and UnusableSetError if it has too
 * many keys, two of one `kid` and algorithm, or a duplicate member: the intended one is unknown.
 */
export async function keysFromJwks(
  text: string,
  algorithms: readonly Algorithm[],
): Promise<LoadedKeys> {
  const problems: string[] = [];
  const usable: UsableKey[] = [];
  const seen = new Set<string>();
  for (const [position, jwk] of parsedSet(text).entries()) {
    const wrong = memberProblem(jwk);
    if (wrong !== undefined) problems.push(`${named(position, jwk)} ${wrong}`);
    const alg = algorithmOf(jwk);
    if (wrong !== undefined || alg === undefined || !algorithms.includes(alg)) continue;
    const id = `${alg} ${jwk.kid}`;
    if (jwk.kid !== undefined && seen.has(id)) {
      throw new UnusableSetError(
        `${named(position, jwk)} repeats a kid of ${alg}; each key needs its own kid`,
      );
    }
    seen.add(id);
    const result = await usableKey(jwk, alg);
    if (typeof result !== "string") usable.push(result);
    else problems.push(`${named(position, jwk)} ${result}`);
  }
  return { index: indexOf(usable), problems };
}

const PEM_EXPECTED =
  'expected one "-----BEGIN PUBLIC KEY-----" (SPKI) or "-----BEGIN CERTIFICATE-----" block';

/** The advice for PEM files of other kinds, by the label of their first block. */
function pemHint(label: string): string {
  if (label.includes("PRIVATE")) {
    return "it is a private key; give only the public half: openssl pkey -in KEY -pubout";
  }
  if (label === "RSA PUBLIC KEY") {
    return "it is a PKCS#1 key; convert it: openssl rsa -RSAPublicKey_in -in KEY -pubout";
  }
  return `it has a block "${label}"; ${PEM_EXPECTED}`;
}

/**
 * Parses a PEM with one public key or certificate. Its key has no id: it verifies tokens with any `kid`. Throws
 * TypeError with what is expected.
 */
export async function keyFromPem(
  text: string,
  algorithms: readonly Algorithm[],
): Promise<LoadedKeys> {
  const labels = [...text.matchAll(/-----BEGIN ([A-Z0-9 ]{1,40})-----/g)].map((match) => match[1]);
  const label = labels[0];
  if (label === undefined) throw new TypeError(`it is not PEM; ${PEM_EXPECTED}`);
  if (label !== "PUBLIC KEY" && label !== "CERTIFICATE") throw new TypeError(pemHint(label));
  if (labels.length > 1) throw new TypeError(`it has ${labels.length} blocks; ${PEM_EXPECTED}`);
  const pem = text.slice(text.indexOf("-----BEGIN")).trimEnd();
  const read = label === "CERTIFICATE" ? importX509 : importSPKI;
  for (const alg of algorithms) {
    // The key is not for that algorithm. The next one is tried, and a failure of all is reported below.
    const key = await read(pem, alg, { extractable: true }).catch(() => undefined);
    if (key === undefined) continue;
    const jwk = await exportJWK(key);
    const problem = materialProblem(jwk, alg, key);
    if (problem !== undefined) throw new TypeError(`it ${problem}`);
    // The key is imported again as a JWK: WebCrypto checks a JWK's point more strictly than some SPKI parsers.
    const checked = await importJWK(jwk, alg) as CryptoKey;
    const index: KeyIndex = { size: 1, find: (wanted) => wanted === alg ? checked : undefined };
    return { index, problems: [] };
  }
  throw new TypeError(
    `its key does not fit the issuer's algorithms (${
      algorithms.join(", ")
    }); RS256 needs an RSA key, ES256 a P-256 key, EdDSA an Ed25519 key`,
  );
}

// Checks that 32 bytes are a public Ed25519 key that proves something. WebCrypto accepts any 32 bytes; for a point of
// small order as the key there are signatures that verify for every message.

const PRIME = 2n ** 255n - 19n;
const SIGN_BIT = 2n ** 255n;
/** The curve's d: -121665/121666. */
const D = 0x52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3n;
/** y of a point of order 8; the other such y is its negative. */
const ORDER_8_Y = 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n;
/** y of all points whose order divides 8: of order 4, 1, 2 and twice 8. */
const SMALL_ORDER_Y: ReadonlySet<bigint> = new Set([
  0n,
  1n,
  PRIME - 1n,
  ORDER_8_Y,
  PRIME - ORDER_8_Y,
]);

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = result * base % PRIME;
    base = base * base % PRIME;
  }
  return result;
}

/** Euler's criterion: whether y has an x on the curve, x² = (y² - 1) / (d·y² + 1). */
function isOnCurve(y: bigint): boolean {
  const square = y * y % PRIME;
  const above = (square + PRIME - 1n) % PRIME;
  const below = (D * square + 1n) % PRIME;
  // A quotient is a square exactly if the product is.
  return power(above * below % PRIME, (PRIME - 1n) / 2n) === 1n;
}

/** The problem with 32 bytes as a public Ed25519 key; undefined if there is none. */
export function ed25519KeyProblem(bytes: Uint8Array): string | undefined {
  if (bytes.length !== 32) return "is not 32 bytes long";
  const encoded = BigInt(`0x${new Uint8Array(bytes).reverse().toHex()}`);
  const y = encoded % SIGN_BIT;
  if (y >= PRIME) return "is not encoded as RFC 8032 requires (y is 2^255-19 or more)";
  if (SMALL_ORDER_Y.has(y)) return "is a point of small order, which verifies anything";
  return isOnCurve(y) ? undefined : "is not a point on the curve";
}
