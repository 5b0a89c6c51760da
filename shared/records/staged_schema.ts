/**
 * A stored schema version that is not in force yet: a decided apply puts it in force. Only the form: the Shield stores
 * and applies it.
 */
import { z } from "zod";
import { COMPATIBILITY_MODES, isSchemaId, SCHEMA_ID_RULE } from "../schema_id.ts";

/** The most versions in one apply. */
export const STAGED_SCHEMAS_MAX = 1_000;

/** A staged version, decoded or to be parsed. */
export const StagedSchema = z.strictObject({
  schema_id: z.string().refine(isSchemaId, { error: SCHEMA_ID_RULE }),
  /** Its number once it is in force. */
  version: z.int().min(1),
  /** Of the gzipped descriptor set. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/, { error: "expected 64 lower-case hex digits" }),
  /** Absent: unchanged. */
  compatibility: z.enum(COMPATIBILITY_MODES).optional(),
});

/** A staged version, decoded or to be parsed. */
export type StagedSchema = z.output<typeof StagedSchema>;
