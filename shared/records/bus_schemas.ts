/**
 * The schemas of the whole bus that one apply puts in force: one document beside those of the tenants, under a key
 * that no tenant can have; and a stored version that is not in force yet. Only the form: the Shield reads and writes
 * it (`shield/apply/bus_applies.ts`).
 */
import { z } from "zod";
import type { KvKey } from "../spine/contract/spine.ts";
import { parseStored, storedBytes } from "./stored.ts";
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

/** Its key in the bucket `ARQON_TENANTS`. */
export const BUS_KEY: KvKey = ["$bus"];

const About = { id: z.string().regex(/^[0-9a-f]{32}$/), by: z.string(), at_ms: z.int().min(0) };
// Loose: a write of this version keeps members of a later one.
const Document = z.looseObject({
  format: z.literal(1),
  version: z.int().min(0),
  /** A decided apply: any Shield may finish it. */
  pending_schemas: z.looseObject({
    ...About,
    schemas: z.array(StagedSchema).min(1).max(STAGED_SCHEMAS_MAX),
  }).optional(),
  /** The last finished apply. */
  applied_schemas: z.looseObject(About).optional(),
});

/** The decoded document. */
export type BusSchemas = z.output<typeof Document>;

/** The document before the first apply. */
export const noBusSchemas = (): BusSchemas => ({ format: 1, version: 0 });

/** The stored form. */
export const encodeBusSchemas = (document: BusSchemas): Uint8Array => storedBytes(document);

/** The document, or what is wrong with the bytes. */
export function decodeBusSchemas(
  bytes: Uint8Array,
): { readonly document: BusSchemas } | { readonly problem: string } {
  const parsed = parseStored(bytes, Document, "schemas of the bus");
  return "value" in parsed ? { document: parsed.value } : parsed;
}
