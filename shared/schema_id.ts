/** The form of a schema's id. Pure; whether there is such a schema, the registry knows. */

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
