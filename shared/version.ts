/**
 * The version of this release, from the root deno.json by `deno task gen`; do not edit. The
 * protocol has a version of its own.
 */

/** For example "0.1.0": what `--version`, metrics, logs and the operators' API show. */
export const VERSION = "0.1.0";
