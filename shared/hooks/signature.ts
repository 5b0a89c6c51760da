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
/** Secrets of one hook: while they are exchanged, both sides may have several. */
const SECRETS_MAX = 4;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** The key in a secret `whsec_…`; undefined: it is none. */
export function secretBytes(secret: string): Uint8Array | undefined {
  const text = secret.slice(PREFIX.length);
  if (!secret.startsWith(PREFIX) || !BASE64.test(text)) return undefined;
  const bytes = Buffer.from(text, "base64");
  const is_long = bytes.length >= SECRET_BYTES_MIN && bytes.length <= SECRET_BYTES_MAX;
  return is_long ? bytes : undefined;
}

/** The keys of up to four secrets with spaces or line ends between them; undefined: it is something else. */
export function secretKeys(text: string): readonly Uint8Array[] | undefined {
  const keys = text.trim().split(/\s+/).flatMap((secret) => secretBytes(secret) ?? [undefined]);
  const good = keys.filter((key) => key !== undefined);
  return good.length === keys.length && keys.length <= SECRETS_MAX ? good : undefined;
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

/** The three headers of a call, with a signature for each secret. Throws TypeError as `secretKeys` has it. */
export function signedHeaders(secrets: string, call: SignedCall): Record<string, string> {
  const keys = secretKeys(secrets);
  if (keys === undefined) throw new TypeError("not a secret of a hook");
  const seconds = Math.floor(call.now_ms / 1_000);
  const signed = `${call.id}.${seconds}.${call.body}`;
  const hmacOf = (key: Uint8Array) => createHmac("sha256", key).update(signed).digest("base64");
  return {
    "webhook-id": call.id,
    "webhook-timestamp": String(seconds),
    "webhook-signature": keys.map((key) => `v1,${hmacOf(key)}`).join(" "),
  };
}
