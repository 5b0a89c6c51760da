/**
 * Secrets of hooks in the format of Standard Webhooks (https://www.standardwebhooks.com). Pure; `hooks/signature.ts`
 * signs.
 */
import { Buffer } from "node:buffer";

/** The prefix of each secret. */
export const SECRET_PREFIX = "whsec_";
/** The minimum of Standard Webhooks. */
const SECRET_BYTES_MIN = 24;
const SECRET_BYTES_MAX = 64;
/** Secrets of one hook: during a rotation a hook has several. */
const SECRETS_MAX = 4;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** The key in a secret `whsec_…`; undefined for any other text. */
export function secretBytes(secret: string): Uint8Array | undefined {
  const text = secret.slice(SECRET_PREFIX.length);
  if (!secret.startsWith(SECRET_PREFIX) || !BASE64.test(text)) return undefined;
  const bytes = Buffer.from(text, "base64");
  const is_long = bytes.length >= SECRET_BYTES_MIN && bytes.length <= SECRET_BYTES_MAX;
  return is_long ? bytes : undefined;
}

/** The keys of up to four secrets, separated by spaces or line ends; undefined for any other text. */
export function secretKeys(text: string): readonly Uint8Array[] | undefined {
  const keys = text.trim().split(/\s+/).flatMap((secret) => secretBytes(secret) ?? [undefined]);
  const good = keys.filter((key) => key !== undefined);
  return good.length === keys.length && keys.length <= SECRETS_MAX ? good : undefined;
}
