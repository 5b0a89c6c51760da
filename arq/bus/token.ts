/**
 * Makes keys and the claims of tokens, and reads the values of `--ttl` and `--grant`. Pure except for the
 * random numbers of new keys; the commands read and write files.
 */
import type { JWK } from "@panva/jose";
import { isRoomPattern } from "@arqon/proto";
import { CommandError, usageError, whyOf } from "../terminal/exit.ts";

/** Fewer bits are no longer safe, and every bus refuses them (RFC 7518, 3.3). */
const RSA_BITS_MIN = 2_048;

/** The parameters of Web Crypto, for keys and for signatures. */
const PARAMETERS: Readonly<Record<Algorithm, Algorithms>> = {
  RS256: [{ name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }],
  ES256: [{ name: "ECDSA", namedCurve: "P-256" }, { name: "ECDSA", hash: "SHA-256" }],
  EdDSA: [{ name: "Ed25519" }],
};
type Algorithms = readonly [
  key: RsaHashedImportParams | EcKeyImportParams | { readonly name: string },
  signature?: EcdsaParams,
];

const encoder = new TextEncoder();

function encoded(bytes: Uint8Array): string {
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}

const part = (value: object) => encoded(encoder.encode(JSON.stringify(value)));

/** The compact form of a JWT. Rejects with Web Crypto's error, which never contains a part of the key. */
async function signedToken(
  jwk: JWK,
  alg: Algorithm,
  claims: Readonly<Record<string, unknown>>,
): Promise<string> {
  const [of_key, of_signature = of_key] = PARAMETERS[alg];
  // The caller has derived `alg` from the JWK's own `alg` and `use`.
  const { alg: _, use: __, ...rest } = jwk;
  const key = await crypto.subtle.importKey("jwk", rest as JsonWebKey, of_key, false, ["sign"]);
  const { modulusLength: bits = Infinity } = key.algorithm as Partial<RsaKeyAlgorithm>;
  if (bits < RSA_BITS_MIN) throw new TypeError(`${bits} bits; expected ${RSA_BITS_MIN} or more`);
  const header = { alg, typ: "JWT", ...(jwk.kid === undefined ? {} : { kid: jwk.kid }) };
  const input = `${part(header)}.${part(claims)}`;
  const signature = await crypto.subtle.sign(of_signature, key, encoder.encode(input));
  return `${input}.${encoded(new Uint8Array(signature))}`;
}

/** Signature algorithms that a bus may accept. */
export const ALGORITHMS = ["RS256", "ES256", "EdDSA"] as const;
/** One of `ALGORITHMS`. */
export type Algorithm = typeof ALGORITHMS[number];
/** The roles that a token may have. */
export const ROLES = ["user", "service", "admin"] as const;
/** One of `ROLES`. */
export type Role = typeof ROLES[number];

/** Loaded only to make keys: for signing, Web Crypto is enough. */
const jose = () => import("@panva/jose");

const ACTIONS = ["publish", "subscribe", "presence", "command"];

/** One entry of the claim `grants`. */
export interface Grant {
  room: string;
  actions: string[];
}

interface TokenClaims {
  readonly issuer: string;
  readonly audience: string;
  readonly tenant: string;
  readonly user: string;
  readonly role: Role;
  /** Absent: the token allows everything in its tenant. */
  readonly grants?: readonly Grant[] | undefined;
  /** Absent: an hour, enough for a person at work. A longer connection gets another token. */
  readonly ttl_seconds?: number;
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { "": 1, s: 1, m: 60, h: 3_600, d: 86_400 };
const TTL_SECONDS = 3_600;
const TTL_SECONDS_MAX = 10 * 365 * 86_400;

/** Reads seconds in the form `15m`, `1h`, `7d` or a number. Throws a usage error that names `option`. */
export function parseSeconds(option: string, text: string): number {
  const [, digits, unit = ""] = /^(\d{1,9})([smhd]?)$/.exec(text) ?? [];
  const seconds = Number(digits) * (UNIT_SECONDS[unit] ?? NaN);
  if (seconds >= 1 && seconds <= TTL_SECONDS_MAX) return seconds;
  throw usageError(
    `${option} ${JSON.stringify(text)}: expected 15m, 1h, 7d or seconds, up to 3650d`,
  );
}

/** Reads a grant `chat-*:publish,subscribe`; without actions it has all four. Throws a usage error. */
export function parseGrant(text: string): Grant {
  // The last colon divides: a room id may contain colons, an action cannot.
  const at = text.lastIndexOf(":");
  const named = at < 0 ? [] : text.slice(at + 1).split(",");
  const hasActions = named.length > 0 && named.every((action) => ACTIONS.includes(action));
  const grant = at < 0
    ? { room: text, actions: [...ACTIONS] }
    : { room: text.slice(0, at), actions: named };
  if (at >= 0 && !hasActions) {
    throw usageError(
      `--grant ${JSON.stringify(text)}: expected actions of ${ACTIONS.join(", ")} after the colon`,
      "for example --grant 'chat-*:publish,subscribe'",
    );
  }
  if (!isRoomPattern(grant.room)) {
    throw usageError(
      `--grant ${JSON.stringify(text)}: ${JSON.stringify(grant.room)} is not a room or a pattern`,
      "a pattern is a room id, or the beginning of one followed by *",
    );
  }
  return grant;
}

/** The signature algorithm that a key is for. Throws when the bus accepts none for it. */
export function algorithmOf(jwk: JWK): Algorithm {
  const known = ALGORITHMS.find((algorithm) => algorithm === jwk.alg);
  if (known !== undefined) return known;
  if (jwk.alg === undefined && jwk.kty === "RSA") return "RS256";
  if (jwk.alg === undefined && jwk.kty === "EC" && jwk.crv === "P-256") return "ES256";
  if ((jwk.alg ?? "Ed25519") === "Ed25519" && jwk.kty === "OKP" && jwk.crv === "Ed25519") {
    return "EdDSA";
  }
  const is = JSON.stringify(jwk.alg ?? jwk.kty);
  throw new CommandError(`the key is for ${is}; expected one for ${ALGORITHMS.join(", ")}`);
}

/** Reads a private JWK. `where` names it in errors; an error never repeats the key. */
export function parsePrivateKey(text: string, where: string): JWK {
  let jwk: unknown;
  try {
    jwk = JSON.parse(text);
  } catch {
    throw new CommandError(
      `${where} is not JSON; expected a private JWK as arq auth keys makes it`,
    );
  }
  if (typeof jwk !== "object" || jwk === null || !("kty" in jwk)) {
    throw new CommandError(`${where} is not a JWK; expected one as arq auth keys makes it`);
  }
  if (!("d" in jwk)) {
    throw new CommandError(`${where} is a public key; a token is signed with the private one`);
  }
  return jwk as JWK;
}

/** Signs a token that is valid from `now_ms` on. */
export async function signToken(jwk: JWK, claims: TokenClaims, now_ms: number): Promise<string> {
  const alg = algorithmOf(jwk);
  const now_seconds = Math.floor(now_ms / 1_000);
  const { tenant, role, grants } = claims;
  const payload = {
    tenant_id: tenant,
    role,
    ...(grants === undefined ? {} : { grants }),
    iss: claims.issuer,
    aud: claims.audience,
    sub: claims.user,
    iat: now_seconds,
    exp: now_seconds + (claims.ttl_seconds ?? TTL_SECONDS),
    jti: crypto.randomUUID(),
  };
  try {
    return await signedToken(jwk, alg, payload);
  } catch (error) {
    // Such errors describe the form of the key, never its content.
    const text = whyOf(error);
    throw new CommandError(`the key cannot sign: ${text}`);
  }
}

/** Makes a key pair: the private JWK, and the public JWK for a key set. */
export async function newKeyPair(alg: Algorithm): Promise<{ private_jwk: JWK; public_jwk: JWK }> {
  const { calculateJwkThumbprint, exportJWK, generateKeyPair } = await jose();
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const public_jwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(public_jwk);
  const private_jwk = await exportJWK(privateKey);
  return {
    private_jwk: { ...private_jwk, kid, alg, use: "sig" },
    public_jwk: { ...public_jwk, kid, alg, use: "sig" },
  };
}
