/** The type of what JSON can say. Parsing and writing it is the platform's. */

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
