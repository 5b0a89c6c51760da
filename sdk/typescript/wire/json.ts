/**
 * The type of what JSON can say, and texts as bytes. Parsing and writing JSON is the platform's.
 */

/** Anything that JSON can say. */
export type Json = string | number | boolean | null | readonly Json[] | {
  readonly [key: string]: Json;
};

/**
 * What can be written as JSON: interfaces, classes and anything that `JSON.stringify` takes. At the
 * top level it excludes what that makes nothing of: functions, promises, maps, sets and buffers.
 */
export type JsonInput =
  | string
  | number
  | boolean
  | null
  | { readonly [key: string]: unknown }
  | object & {
    readonly [Symbol.hasInstance]?: never;
    readonly [Symbol.toStringTag]?: never;
  };

/** The text of UTF-8 bytes; a byte order mark stays. Throws TypeError for other bytes. */
export function strictText(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
}

const encoder = new TextEncoder();

/** The UTF-8 bytes of a text; none of undefined. */
export function utf8Bytes(text?: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text);
}
