/**
 * The records of growing messages in their key-value bucket, by compare-and-set. What a record says is
 * `record.ts`.
 */
import { changeDocument, isConflict } from "../../shared/spine/contract/compare_and_set.ts";
import type { KeyValue, KvKey, Spine } from "../../shared/spine/contract/spine.ts";
import { decodeRecord, encodeRecord } from "./record.ts";
import type { GrowingRecord } from "./record.ts";

/** The bucket of all tenants. Keys: `[tenant_id, room_id, id]`. */
const GROWING_BUCKET = "ARQON_GROWING";

/** Which message. */
export interface GrowingKey {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly id: string;
}

/** A record as it was read or written. */
export interface Found {
  readonly record: GrowingRecord;
  readonly revision: number;
}

const keyOf = ({ tenant_id, room_id, id }: GrowingKey): KvKey => [tenant_id, room_id, id];

/** The records on one Spine. Everything rejects with `spine-unavailable` while it is down. */
export class GrowingRecords {
  readonly #spine: Pick<Spine, "keyValue">;
  #bucket: Promise<KeyValue> | undefined;

  constructor(spine: Pick<Spine, "keyValue">) {
    this.#spine = spine;
  }

  /** The record; undefined when there is none. */
  async get(key: GrowingKey): Promise<Found | undefined> {
    const entry = await (await this.#open()).get(keyOf(key));
    const record = entry && decodeRecord(entry.value);
    return entry && record && { record, revision: entry.revision };
  }

  /**
   * Writes what `change` makes of the record, again when another was faster; `change` says undefined to
   * leave it as it is, and throws what it rejects with. Resolves with the record as it is then.
   */
  change(
    key: GrowingKey,
    change: (found: Found | undefined) => Promise<GrowingRecord | undefined>,
  ): Promise<Found | undefined> {
    return changeDocument(async (mayLose) => {
      const bucket = await this.#open();
      const found = await this.get(key);
      const record = await change(found);
      if (record === undefined) return found;
      const written = bucket.update(keyOf(key), encodeRecord(record), found?.revision ?? 0);
      return { record, revision: await mayLose(written) };
    });
  }

  /** Deletes the record of that revision; when another has changed it, nothing. */
  async delete(key: GrowingKey, revision: number): Promise<void> {
    const bucket = await this.#open();
    await bucket.delete(keyOf(key), revision).catch((error) => {
      if (!isConflict(error)) throw error;
    });
  }

  /** The messages that grow: in a room, with a tenant alone in all its rooms, without in all there are. */
  async list(tenant_id?: string, room_id?: string): Promise<GrowingKey[]> {
    const prefix = [tenant_id, room_id].filter((one) => one !== undefined);
    const keys = await (await this.#open()).keys(prefix);
    return keys.map(([tenant = "", room = "", id = ""]) => ({
      tenant_id: tenant,
      room_id: room,
      id,
    }));
  }

  #open(): Promise<KeyValue> {
    this.#bucket ??= this.#spine.keyValue(GROWING_BUCKET, { unwatched: true }).catch((error) => {
      // The next caller tries again.
      this.#bucket = undefined;
      throw error;
    });
    return this.#bucket;
  }
}
