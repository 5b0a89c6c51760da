/**
 * Signs a JWT by Web Crypto alone, for the start of `arq pub`: loading jose takes longer than signing.
 * Only the three algorithms that a bus may accept; whoever verifies or makes keys uses jose.
 */
import type { JWK } from "@panva/jose";
import type { Algorithm } from "./token.ts";

/** Fewer bits are no longer safe, and every bus refuses them (RFC 7518, 3.3). */
const RSA_BITS_MIN = 2_048;

/** What Web Crypto calls them, for keys and for signatures. */
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

/**
 * The compact form of a JWT with these claims. Rejects with what Web Crypto says of a key that cannot
 * sign; that never has a part of the key.
 */
export async function signedToken(
  jwk: JWK,
  alg: Algorithm,
  claims: Readonly<Record<string, unknown>>,
): Promise<string> {
  const [of_key, of_signature = of_key] = PARAMETERS[alg];
  // Of a JWK's own `alg` and `use`, the caller has made `alg`.
  const { alg: _, use: __, ...rest } = jwk;
  const key = await crypto.subtle.importKey("jwk", rest as JsonWebKey, of_key, false, ["sign"]);
  const { modulusLength: bits = Infinity } = key.algorithm as Partial<RsaKeyAlgorithm>;
  if (bits < RSA_BITS_MIN) throw new TypeError(`${bits} bits; expected ${RSA_BITS_MIN} or more`);
  const header = { alg, typ: "JWT", ...(jwk.kid === undefined ? {} : { kid: jwk.kid }) };
  const input = `${part(header)}.${part(claims)}`;
  const signature = await crypto.subtle.sign(of_signature, key, encoder.encode(input));
  return `${input}.${encoded(new Uint8Array(signature))}`;
}
