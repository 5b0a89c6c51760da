/** The records of growing messages in their key-value bucket, by compare-and-set. `record.ts` has their content. */
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import { changeDocument, isConflict } from "../../shared/spine/contract/compare_and_set.ts";
import { ArqonError, strictText, utf8Size } from "@arqon/proto";
import { GROWING_BUCKET } from "../../shared/records/buckets.ts";
import type { KeyValue, KvKey, Spine } from "../../shared/spine/contract/spine.ts";
import { openOnce } from "../../shared/turns/once.ts";
import { FairBound } from "../../shared/turns/fair_bound.ts";
import { slice, STRANGERS } from "../../shared/turns/slices.ts";
import { decodeRecord, encodeRecord, type GrowingRecord, withSealed } from "./record.ts";

/** The key of a message. */
export interface GrowingKey {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly id: string;
}

/** A record as read or written. */
export interface Found {
  readonly record: GrowingRecord;
  readonly revision: number;
}

/** An end under way. */
export interface Settling {
  readonly key: GrowingKey;
  is_erased: boolean;
}

const keyOf = ({ tenant_id, room_id, id }: GrowingKey): KvKey => [tenant_id, room_id, id];
const KEY_TOKENS = 3;
/** Whether the key is that of a message; otherwise that of a part of its text. */
export const isMessage = ({ length }: KvKey): boolean => length === KEY_TOKENS;
/** How long a list of a tenant's messages is used, in ms: it costs as much as the tenant has, with all parts. */
const LISTED_MS = 1_000;
const LISTED_TENANTS = 1_000;
/** The bytes of a key in the bucket beside its text. */
const KEY_BYTES = 512;
/** Keys that are looked at in one slice. */
const KEYS_A_PIECE = 256;

const partKeyOf = (
  key: GrowingKey,
  { started_ms }: Pick<GrowingRecord, "started_ms">,
  index: number,
): KvKey => [...keyOf(key), String(started_ms), String(index)];

/** The message of a key. */
export const growingKeyOf = ([tenant_id = "", room_id = "", id = ""]: KvKey): GrowingKey => ({
  tenant_id,
  room_id,
  id,
});

/** By message, its room. */
type Listed = Promise<Map<string, string>>;

const bytesOf = ({ text, sealed }: Pick<GrowingRecord, "text" | "sealed">): number =>
  KEY_BYTES * (1 + (sealed?.parts ?? 0)) + (sealed?.bytes ?? 0) + utf8Size(text);

const nameOf = ({ room_id, id }: GrowingKey): string => `${room_id} ${id}`;

/** The records on one Spine. Everything rejects with `spine-unavailable` while it is down. */
export class GrowingRecords {
  /** The ends under way in this process; an erasure marks those of its messages. */
  readonly settling = new Set<Settling>();
  readonly #spine: Pick<Spine, "keyValue">;
  readonly #open = openOnce(() => this.#spine.keyValue(GROWING_BUCKET, { unwatched: true }));
  readonly #monotonic_ms: () => number;
  /** The last list of each tenant, and since when it is used; what this process changes is added to it. */
  readonly #listed = new BoundedMap<string, { readonly at_ms: number; readonly rooms: Listed }>(
    LISTED_TENANTS,
  );

  /** The bytes of each tenant in the bucket, which they share: as of the last sweep, and what changed here since. */
  #bytes = new FairBound(Infinity);

  constructor(spine: Pick<Spine, "keyValue">, monotonic_ms = () => performance.now()) {
    this.#spine = spine;
    this.#monotonic_ms = monotonic_ms;
  }

  /** The record; undefined if there is none. */
  async get(key: GrowingKey): Promise<Found | undefined> {
    const entry = await (await this.#open()).get(keyOf(key));
    const record = entry && decodeRecord(entry.value);
    return entry && record && { record, revision: entry.revision };
  }

  /**
   * Writes the result of `change`, again after a conflict; `change` returns undefined to leave the record, and its
   * errors are passed on. Resolves to the current record.
   */
  change(
    key: GrowingKey,
    change: (found: Found | undefined) => Promise<GrowingRecord | undefined>,
  ): Promise<Found | undefined> {
    return changeDocument(async (mayLose) => {
      const bucket = await this.#open();
      const found = await this.get(key);
      const changed = await change(found);
      if (changed === undefined) return found;
      const { record, part } = withSealed(found?.record, changed);
      const more = bytesOf(record) - (found === undefined ? 0 : bytesOf(found.record));
      if (record.ending === null) this.#requireRoom(bucket, key, more);
      const part_key = partKeyOf(key, record, part?.index ?? 0);
      if (part !== undefined) await bucket.put(part_key, new TextEncoder().encode(part.text));
      const written = bucket.update(keyOf(key), encodeRecord(record), found?.revision ?? 0);
      const revision = await mayLose(written).catch(async (error) => {
        // The message was erased, or has ended.
        if (part !== undefined && isConflict(error) && await this.get(key) === undefined) {
          await bucket.delete(part_key);
        }
        throw error;
      });
      this.#bytes.add(key.tenant_id, more);
      if (found === undefined) this.#note(key, (names) => names.set(nameOf(key), key.room_id));
      return { record, revision };
    });
  }

  #requireRoom({ limit_bytes = Infinity }: KeyValue, { tenant_id }: GrowingKey, more: number) {
    if (more <= 0 || this.#bytes.hasRoom(tenant_id, more, limit_bytes)) return;
    const detail = "the tenant's growing messages take its share of the bucket";
    throw new ArqonError("growing-limit", detail);
  }

  /** The whole text of a record; undefined: the message was deleted meanwhile. */
  async textOf(key: GrowingKey, record: GrowingRecord): Promise<string | undefined> {
    const bucket = await this.#open();
    const count = record.sealed?.parts ?? 0;
    const parts = await Promise.all(
      Array.from({ length: count }, (_, index) => bucket.get(partKeyOf(key, record, index))),
    );
    if (parts.includes(undefined)) return undefined;
    return parts.map((part) => strictText(part!.value)).join("") + record.text;
  }

  /** Deletes the record of that revision and its parts; does nothing if it has changed. */
  async delete(key: GrowingKey, { record, revision }: Found): Promise<void> {
    const bucket = await this.#open();
    try {
      await bucket.delete(keyOf(key), revision);
      this.#bytes.add(key.tenant_id, -bytesOf(record));
      this.#note(key, (names) => names.delete(nameOf(key)));
    } catch (error) {
      if (isConflict(error)) return;
      throw error;
    }
    for (let index = 0; index < (record.sealed?.parts ?? 0); index++) {
      // Remaining parts have no record, and `sweep` deletes them.
      await bucket.delete(partKeyOf(key, record, index)).catch(() => {});
    }
  }

  /** The growing messages of a room; of all rooms of a tenant; or of all tenants. */
  async list(tenant_id?: string, room_id?: string): Promise<GrowingKey[]> {
    const prefix = [tenant_id, room_id].filter((one) => one !== undefined);
    const keys = await (await this.#open()).keys(prefix);
    return keys.filter(isMessage).map(growingKeyOf);
  }

  /** The rooms of a tenant's growing messages: those of other processes as of the last second. */
  async roomsOf(tenant_id: string): Promise<Iterable<string>> {
    const now_ms = this.#monotonic_ms();
    const known = this.#listed.get(tenant_id);
    if (known !== undefined && now_ms - known.at_ms < LISTED_MS) {
      return (await known.rooms).values();
    }
    const rooms = this.list(tenant_id).then((keys) =>
      new Map(keys.map((key) => [nameOf(key), key.room_id]))
    );
    this.#listed.renew(tenant_id, { at_ms: now_ms, rooms });
    rooms.catch(() => this.#listed.delete(tenant_id));
    return (await rooms).values();
  }

  /** Adds a change of this process to the tenant's list. */
  #note({ tenant_id }: GrowingKey, change: (rooms: Map<string, string>) => unknown): void {
    // Without a list, the next reader makes one.
    this.#listed.get(tenant_id)?.rooms.then(change, () => {});
  }

  /** All growing messages. Parts without a message are deleted. */
  async sweep(): Promise<GrowingKey[]> {
    const bucket = await this.#open();
    const sizes = await bucket.sizes();
    const bytes = this.#bytes = new FairBound(Infinity);
    const keys = sizes.map(({ key, size_bytes }) => {
      bytes.add(key[0] ?? "", KEY_BYTES + size_bytes);
      return key;
    });
    const heads = keys.filter(isMessage);
    const known = new Set<string>();
    for (const [at, key] of heads.entries()) {
      if (at % KEYS_A_PIECE === 0) await slice(STRANGERS);
      known.add(JSON.stringify(key));
    }
    for (const [at, key] of keys.entries()) {
      if (at % KEYS_A_PIECE === 0) await slice(STRANGERS);
      const head = key.slice(0, KEY_TOKENS);
      if (known.has(JSON.stringify(head))) continue;
      // The list may lack a record that was written meanwhile.
      if (await bucket.get(head) === undefined) await bucket.delete(key);
    }
    return heads.map(growingKeyOf);
  }
}
