/**
 * Ed25519 signatures of publishes and commands: the interface of a signer, and a signer from a Web Crypto key. It signs
 * `signingInput` of `@arqon/proto`; `requests.ts` calls it.
 */

/**
 * Signs bytes with the private key of the token's `cnf.jwk`. The key may be anywhere: in Web Crypto, in a worker, in a
 * device.
 */
export interface Signer {
  /** Ed25519 over `data`: 64 bytes. */
  sign(data: Uint8Array): Promise<Uint8Array>;
}

/** Length of a signature, in bytes. */
export const SIGNATURE_BYTES = 64;
/** Bytes that a signature adds to a frame: with tag and length of `Envelope.signature`. */
export const SIGNATURE_FIELD_BYTES = 66;

/** A PUB frame with its signature; fields of an envelope may come in any order. */
export function signedFrame(frame: Uint8Array, signature: Uint8Array): Uint8Array {
  const signed = new Uint8Array(frame.length + SIGNATURE_FIELD_BYTES);
  signed.set(frame);
  signed.set([0x52, SIGNATURE_BYTES], frame.length);
  signed.set(signature, frame.length + 2);
  return signed;
}

async function imported({ kty, crv, x, d }: JsonWebKey): Promise<CryptoKey> {
  if (kty !== "OKP" || crv !== "Ed25519" || !x || !d) {
    throw new TypeError("the signing key is no private Ed25519 JWK; expected kty, crv, x and d");
  }
  try {
    return await crypto.subtle.importKey("jwk", { kty, crv, x, d }, "Ed25519", false, ["sign"]);
  } catch (error) {
    // The platform's text might quote the key.
    const name = error instanceof Error ? error.name : "error";
    throw new TypeError(`the signing key cannot be imported: ${name}`);
  }
}

/**
 * A signer from a private Ed25519 key. TypeError for a key that cannot sign: a JWK without `d` or of another curve, a
 * public `CryptoKey`. Needs Ed25519 in the platform's Web Crypto.
 *
 * ```ts
 * import { connect, ed25519Signer } from "@arqon/sdk";
 *
 * const jwk: JsonWebKey = JSON.parse(localStorage.getItem("key") ?? "{}");
 * const signer = await ed25519Signer(jwk);
 * await using bus = await connect({ url: "localhost:4000", token: "…", signer });
 * await bus.room("ledger-1").publish("pay", { amount: 7 }); // signed
 * ```
 */
export async function ed25519Signer(key: CryptoKey | JsonWebKey): Promise<Signer> {
  const private_key = "algorithm" in key ? key : await imported(key);
  const { algorithm, type, usages } = private_key;
  if (algorithm.name !== "Ed25519" || type !== "private" || !usages.includes("sign")) {
    throw new TypeError("the signing key is no private Ed25519 key that may sign");
  }
  return {
    sign: async (data) =>
      new Uint8Array(
        await crypto.subtle.sign("Ed25519", private_key, data as Uint8Array<ArrayBuffer>),
      ),
  };
}
