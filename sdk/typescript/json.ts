/**
 * The type of what JSON can say, and the text of bytes; parsing and writing are the platform's.
 */

/** Anything that JSON can say. */
export type Json = string | number | boolean | null | readonly Json[] | {
  readonly [key: string]: Json;
};

/** Throws TypeError for what is not UTF-8. A byte order mark stays. */
export function strictText(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
}
