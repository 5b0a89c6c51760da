/**
 * The type of what JSON can say, and the text of bytes; parsing and writing are the platform's.
 */

/** Anything that JSON can say. */
export type Json = string | number | boolean | null | readonly Json[] | {
  readonly [key: string]: Json;
};

/**
 * What is written as JSON: interfaces, classes and anything that `JSON.stringify` takes. What it makes
 * nothing of at the top is left out: functions, promises, maps, sets and buffers.
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

/** Throws TypeError for what is not UTF-8. A byte order mark stays. */
export function strictText(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
}
