/**
 * The schemas of the whole bus that one apply puts in force: one document beside those of the tenants, under a key that
 * no tenant can have. Only the form: the Shield reads and writes it (`shield/apply/bus_applies.ts`).
 */
import { z } from "zod";
import { problemText } from "../problem.ts";
import type { KvKey } from "../spine/contract/spine.ts";
import { STAGED_SCHEMAS_MAX, StagedSchema } from "./staged_schema.ts";
import { isIncompatible, requireFormat, storedBytes } from "./stored.ts";

/** Its key in the bucket `ARQON_TENANTS`. */
export const BUS_KEY: KvKey = ["$bus"];

const About = { id: z.string().regex(/^[0-9a-f]{32}$/), by: z.string(), at_ms: z.int().min(0) };
// Loose: a write of this version keeps members of a later one. A Brain of an earlier release reads `format` and
// `version` as those of a tenant without settings.
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
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    requireFormat(value, "schemas of the bus");
    const parsed = Document.safeParse(value);
    return parsed.success ? { document: parsed.data } : { problem: problemText(parsed.error) };
  } catch (error) {
    return { problem: isIncompatible(error) ? error.message : "not JSON" };
  }
}
