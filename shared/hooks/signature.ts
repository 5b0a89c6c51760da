/**
 * Signs calls by the scheme of Standard Webhooks (https://www.standardwebhooks.com), version `v1`: HMAC-SHA256
 * over id, time and body, with a secret that both sides know. Pure; who calls is `call.ts`.
 */
import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";

const PREFIX = "whsec_";
/** What the scheme asks for. */
const SECRET_BYTES_MIN = 24;
const SECRET_BYTES_MAX = 64;
const SECRET_BYTES_MADE = 32;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** The key in a secret `whsec_…`; undefined: it is none. */
export function secretBytes(secret: string): Uint8Array | undefined {
  const text = secret.slice(PREFIX.length);
  if (!secret.startsWith(PREFIX) || !BASE64.test(text)) return undefined;
  const bytes = Buffer.from(text, "base64");
  const is_long = bytes.length >= SECRET_BYTES_MIN && bytes.length <= SECRET_BYTES_MAX;
  return is_long ? bytes : undefined;
}

/** A secret that nobody has had before. */
export function newSecret(): string {
  return PREFIX +
    Buffer.from(crypto.getRandomValues(new Uint8Array(SECRET_BYTES_MADE))).toString("base64");
}

/** What is signed. */
export interface SignedCall {
  /** The same for every attempt at one event; without dots. */
  readonly id: string;
  /** Unix ms of the attempt. */
  readonly now_ms: number;
  readonly body: string;
}

/** The three headers of a call. Throws TypeError for what is no secret. */
export function signedHeaders(secret: string, call: SignedCall): Record<string, string> {
  const key = secretBytes(secret);
  if (key === undefined) throw new TypeError("not a secret of a hook");
  const seconds = Math.floor(call.now_ms / 1_000);
  const hmac = createHmac("sha256", key).update(`${call.id}.${seconds}.${call.body}`);
  return {
    "webhook-id": call.id,
    "webhook-timestamp": String(seconds),
    "webhook-signature": `v1,${hmac.digest("base64")}`,
  };
}
