/**
 * Deletes an unmapped schema: its versions, its current set, and the last refusal. A tombstone stays, with who did it.
 * So remains are not taken for a new schema, and a later schema gets version numbers never used before. `admin_api.ts`
 * decides who may delete.
 */
import type { SchemaMapping } from "../../../shared/config/schema_governance.ts";
import { changeDocument } from "../../../shared/spine/contract/compare_and_set.ts";
import type { Deletion } from "./schema_record.ts";
import { tombstoneOf } from "./stored_set.ts";
import { type SchemaStore, unknown } from "./store.ts";

const NAMED_MAX = 4;

/** The refusal to delete a schema that subjects are mapped to; the mappings go into the problem body. */
export class MappedError extends Error {
  override readonly name = "MappedError";
  readonly mappings: readonly SchemaMapping[];

  constructor(schema_id: string, mappings: readonly SchemaMapping[]) {
    const named = mappings.slice(0, NAMED_MAX)
      .map(({ subject, message }) => `${subject} to ${message}`).join(", ");
    const more = mappings.length > NAMED_MAX ? ` and ${mappings.length - NAMED_MAX} more` : "";
    super(`${JSON.stringify(schema_id)} is mapped: ${named}${more}; unmap it first`);
    this.mappings = mappings;
  }
}

/** Which schema is deleted, and by whom. */
interface DeleteRequest {
  readonly schema_id: string;
  readonly by: string;
  /** Unix ms. */
  readonly now_ms: number;
  /** The mappings to the schema; read again at each attempt. */
  readonly mapped: () => readonly SchemaMapping[];
}

/** What was deleted. */
export interface Deleted extends Deletion {
  readonly versions: number;
}

/**
 * Deletes the schema. If a crash leaves remains, the Shields that watch the buckets remove them. Rejects with
 * `schema-unknown`, `MappedError`, and as the store rejects.
 */
export async function deleteSchema(
  store: SchemaStore,
  { schema_id, by, now_ms, mapped }: DeleteRequest,
): Promise<Deleted> {
  return await changeDocument(async (mayLose) => {
    const standing = await store.standing(schema_id);
    const { stored, buried, set } = standing;
    if (stored === undefined) throw unknown(schema_id, buried);
    const mappings = mapped();
    if (mappings.length > 0) throw new MappedError(schema_id, mappings);
    const tombstone = tombstoneOf(standing, { by, deleted_ms: now_ms });
    await mayLose(store.bury(schema_id, stored, tombstone));
    if (set !== undefined) await store.clear(schema_id, set);
    await store.pardon(schema_id);
    const { versions } = stored.head;
    for (const version of versions) await store.forget(schema_id, version);
    return { ...tombstone.deleted, versions: versions.length };
  });
}
