/** The syntax of schema ids, and the compatibility modes of versions. Pure; the registry knows the schemas. */

// An id is the key of the current set, so it must be one that every NATS client takes.
const SCHEMA_ID = /^(?=.{1,128}$)[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/;

/** The form as a pattern, for editors and descriptions. */
export const SCHEMA_ID_PATTERN = SCHEMA_ID.source;

/** The rule in words, for an id that does not keep it. */
export const SCHEMA_ID_RULE =
  "a schema id is 1 to 128 of [A-Za-z0-9_.-], without a dot at either end or two in a row";

/** Whether a text can name a schema. */
export function isSchemaId(text: string): boolean {
  return SCHEMA_ID.test(text);
}

/** The compatibility modes of a schema's versions. */
export const COMPATIBILITY_MODES = [
  "BACKWARD",
  "BACKWARD_TRANSITIVE",
  "FORWARD",
  "FORWARD_TRANSITIVE",
  "FULL",
  "FULL_TRANSITIVE",
  "NONE",
] as const;
/**
 * BACKWARD: the new version reads what the old one wrote. FORWARD: the old one reads what the new
 * one writes. FULL: both. `*_TRANSITIVE`: against every earlier version, not only the last.
 */
export type CompatibilityMode = typeof COMPATIBILITY_MODES[number];

/** Whether a text is the name of a mode, exactly as written. */
export function isCompatibilityMode(text: string): text is CompatibilityMode {
  return (COMPATIBILITY_MODES as readonly string[]).includes(text);
}
