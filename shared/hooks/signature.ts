/**
 * Signs calls by the scheme of Standard Webhooks (https://www.standardwebhooks.com), version `v1`: HMAC-SHA256 over id,
 * time and body, with a shared secret. Pure; `call.ts` calls.
 */
import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";
import { SECRET_PREFIX, secretKeys } from "../config/values/hook_secret.ts";

const SECRET_BYTES_MADE = 32;

/** A new random secret. */
export function newSecret(): string {
  return SECRET_PREFIX +
    Buffer.from(crypto.getRandomValues(new Uint8Array(SECRET_BYTES_MADE))).toString("base64");
}

interface SignedCall {
  /** The same for every attempt at one event; without dots. */
  readonly id: string;
  /** Unix ms of the attempt. */
  readonly now_ms: number;
  readonly body: string;
}

/** The three headers of a call, with a signature for each secret. Throws TypeError as `secretKeys` does. */
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
