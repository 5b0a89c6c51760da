/**
 * The stored form of key-value keys: each token in base64url, joined with dots. So any text is a
 * valid NATS subject token, and a prefix of tokens is a prefix of the text. In a plain bucket,
 * which other tools read and write too, tokens stay as they are. Pure; both engines use it.
 */
import type { KvKey } from "./spine.ts";

const TOKENS_MAX = 16;
/** Longest encoded key in bytes; with `$KV.BUCKET.` it is far below NATS' control line. */
const KEY_BYTES = 1_024;
/** The most tokens of a plain key: a text of 128 characters can have this many. */
const PLAIN_TOKENS_MAX = 64;
/** The characters of a NATS subject token, except `*` and `>`. */
const PLAIN_TOKEN = /^[!-)+-\-/-=?-~]+$/;
const BUCKET = /^[A-Z0-9_]{1,80}$/;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** How the keys of a bucket are stored. */
export interface KeyForm {
  /** The stored text of a prefix (which may have no token at all: ""). Throws TypeError. */
  prefix(prefix: KvKey): string;
  /** The stored text of a key. Throws TypeError for one that cannot be. */
  encode(key: KvKey): string;
  /** The key of a stored text; undefined for a text that `encode` cannot have made. */
  decode(text: string): KvKey | undefined;
}

/** Throws TypeError unless `bucket` is a bucket name. */
export function assertBucket(bucket: string): void {
  if (!BUCKET.test(bucket)) throw new TypeError(`not a bucket name: ${JSON.stringify(bucket)}`);
}

/** `write` throws TypeError for an invalid token; `read` may throw for an invalid text. */
function keyForm(
  tokens_max: number,
  write: (token: string) => string,
  read: (text: string) => string,
): KeyForm {
  const prefix = (key: KvKey) => {
    if (key.length > tokens_max) throw new TypeError(`a key has at most ${tokens_max} tokens`);
    const text = key.map(write).join(".");
    if (text.length > KEY_BYTES) throw new TypeError(`a key has at most ${KEY_BYTES} bytes`);
    return text;
  };
  const encode = (key: KvKey) => {
    if (key.length === 0) throw new TypeError("a key has at least one token");
    return prefix(key);
  };
  const decode = (text: string) => {
    try {
      const key = text.split(".").map(read);
      return encode(key) === text ? key : undefined;
    } catch {
      // Not a stored key.
      return undefined;
    }
  };
  return { prefix, encode, decode };
}

/** Keys in base64url: any text can be a token. */
export const ENCODED_KEYS: KeyForm = keyForm(
  TOKENS_MAX,
  (token) => {
    // A lone surrogate would encode as U+FFFD, and two keys would become one.
    if (token === "" || !token.isWellFormed()) {
      throw new TypeError(`not a key token: ${JSON.stringify(token)}`);
    }
    return encoder.encode(token).toBase64({ alphabet: "base64url", omitPadding: true });
  },
  (text) => decoder.decode(Uint8Array.fromBase64(text, { alphabet: "base64url" })),
);

/** Keys as they are: tokens of printable ASCII without dots, white space, `*` and `>`. */
export const PLAIN_KEYS: KeyForm = keyForm(
  PLAIN_TOKENS_MAX,
  (token) => {
    if (PLAIN_TOKEN.test(token)) return token;
    throw new TypeError(`not a plain key token: ${JSON.stringify(token)}`);
  },
  (text) => text,
);

/** True when the stored key is the stored prefix or below it. */
export function isBelow(storedKey: string, storedPrefix: string): boolean {
  return storedPrefix === "" || storedKey === storedPrefix ||
    (storedKey.startsWith(storedPrefix) && storedKey[storedPrefix.length] === ".");
}
