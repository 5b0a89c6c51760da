/**
 * The type of what JSON can say. No code: parsing and writing are the platform's.
 */

/** Anything that JSON can say. */
export type Json = string | number | boolean | null | readonly Json[] | {
  readonly [key: string]: Json;
};
