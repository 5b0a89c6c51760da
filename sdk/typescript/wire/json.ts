/** Types of JSON values. The platform parses and writes them. */

/** Any JSON value. */
export type Json = string | number | boolean | null | readonly Json[] | {
  readonly [key: string]: Json;
};

/**
 * Values that can be written as JSON: interfaces, classes and anything that `JSON.stringify` accepts. At the top level
 * it excludes values that this would lose: functions, promises, maps, sets and buffers.
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
