/** What can name a schema. Pure; whether there is such a schema is the registry's to say. */

// An id is the key of the current set, so it must be one that every NATS client takes.
const SCHEMA_ID = /^(?=.{1,128}$)[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/;

/** The same for editors and descriptions. */
export const SCHEMA_ID_PATTERN = SCHEMA_ID.source;

/** What is wrong with an id that does not pass. */
export const SCHEMA_ID_RULE =
  "a schema id is 1 to 128 of [A-Za-z0-9_.-], without a dot at either end or two in a row";

/** Whether a text can name a schema. */
export function isSchemaId(text: string): boolean {
  return SCHEMA_ID.test(text);
}
