/**
 * A version of a schema that is stored and not in force: an apply that is decided puts it in force. Only the form;
 * who stores it and puts it in force is the Shield's.
 */
import { z } from "zod";
import { COMPATIBILITY_MODES, isSchemaId, SCHEMA_ID_RULE } from "../schema_id.ts";

/** Versions that one apply may put in force. */
export const STAGED_SCHEMAS_MAX = 1_000;

/** The form. */
export const StagedSchema = z.strictObject({
  schema_id: z.string().refine(isSchemaId, { error: SCHEMA_ID_RULE }),
  /** The number that it has once it is in force. */
  version: z.int().min(1),
  /** Of the gzipped set. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/, { error: "expected 64 lower-case hex digits" }),
  /** Absent: as it is. */
  compatibility: z.enum(COMPATIBILITY_MODES).optional(),
});
/** One of them. */
export type StagedSchema = z.output<typeof StagedSchema>;
