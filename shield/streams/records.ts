/**
 * The records of streams in their key-value bucket, by compare-and-set. `record.ts` has their content; `lifecycle.ts`
 * ends streams.
 */
import { isConflict } from "../../shared/spine/contract/compare_and_set.ts";
import { STREAMS_BUCKET } from "../../shared/records/buckets.ts";
import type { KvKey, KvWatch, Spine } from "../../shared/spine/contract/spine.ts";
import { openOnce } from "../../shared/turns/once.ts";
import { decodeRecord, encodeRecord, type StreamRecord } from "./record.ts";

/** The key of a stream: the room of a tenant. */
export interface StreamKey {
  readonly tenant_id: string;
  readonly room_id: string;
}

/** A record with its revision. */
export interface Found {
  readonly record: StreamRecord;
  readonly revision: number;
}

const keyOf = ({ tenant_id, room_id }: StreamKey): KvKey => [tenant_id, room_id];

/** The records in the process's Spine. Everything rejects with `spine-unavailable` while the Spine is down. */
export class Records {
  readonly #spine: Pick<Spine, "keyValue">;
  readonly #open = openOnce(() => this.#spine.keyValue(STREAMS_BUCKET));

  constructor(spine: Pick<Spine, "keyValue">) {
    this.#spine = spine;
  }

  /** The record; undefined when there is none. */
  async get(key: StreamKey): Promise<Found | undefined> {
    const entry = await (await this.#open()).get(keyOf(key));
    const record = entry && decodeRecord(entry.value);
    return entry && record && { record, revision: entry.revision };
  }

  /** Writes a record over the one of that revision (0: none); undefined if another process was faster. */
  async put(key: StreamKey, record: StreamRecord, revision: number): Promise<Found | undefined> {
    const bucket = await this.#open();
    try {
      return { record, revision: await bucket.update(keyOf(key), encodeRecord(record), revision) };
    } catch (error) {
      if (isConflict(error)) return undefined;
      throw error;
    }
  }

  /** Deletes the record of that revision; false if another process was faster. */
  async delete(key: StreamKey, revision: number): Promise<boolean> {
    const bucket = await this.#open();
    try {
      await bucket.delete(keyOf(key), revision);
      return true;
    } catch (error) {
      if (isConflict(error)) return false;
      throw error;
    }
  }

  /** The rooms of a tenant that are streams, unordered. */
  async roomsOf(tenant_id: string): Promise<string[]> {
    const keys = await (await this.#open()).keys([tenant_id]);
    return keys.map(([, room_id = ""]) => room_id);
  }

  /** Calls `onChange` for every change of one record until the watch is stopped. */
  async watch(key: StreamKey, onChange: () => void): Promise<KvWatch> {
    return (await this.#open()).watch(keyOf(key), onChange);
  }
}
