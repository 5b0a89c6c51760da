/** Mirror rules and schema mappings, as `config.toml` and the tenants' run-time settings have them. */
import { z } from "zod";
import { fraction } from "./schema_values.ts";

/** What share of the traffic below a subject prefix is copied. */
export const MirrorRule = z.strictObject({
  prefix: z.string().min(1).max(256).describe(
    'subject prefix; a trailing "*" matches any remainder',
  ),
  percent: fraction.describe("fraction of the traffic: 0.10 is 10 %"),
});
/** `{prefix, percent}`. */
export type MirrorRule = z.output<typeof MirrorRule>;

/** Which message the events of a subject must be. */
export const SchemaMapping = z.strictObject({
  subject: z.string().min(1).max(256).describe("subject or pattern"),
  schema_id: z.string().min(1).max(128).describe("key of the schema in the bucket"),
  message: z.string().min(1).max(512).describe("full name of the Protobuf message"),
  mode: z.enum(["enforce", "observe", "dead-letter"]).default("enforce")
    .describe("what a violation does: refuse, only count, or refuse and keep a copy"),
  unknown_fields: z.enum(["allow", "warn", "refuse"]).default("allow")
    .describe("what a field outside the schema does"),
});
/** `{subject, schema_id, message, mode, unknown_fields}`. */
export type SchemaMapping = z.output<typeof SchemaMapping>;
