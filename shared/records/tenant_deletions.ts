/**
 * Marks of deleted tenants, in the bucket of their settings: the erasure of a tenant leaves one for a day. Whoever
 * stores what was decided earlier reads the mark before and after the write, as a process may be stopped in between for
 * longer than the erasure takes. What was stored before the mark, the erasure finds.
 */
import { z } from "zod";
import type { AppendOptions, DurableLog } from "../spine/contract/durable_log.ts";
import { conflictAt, isConflict } from "../spine/contract/compare_and_set.ts";
import type { KeyValue, KvChange, KvKey, KvUpdate } from "../spine/contract/spine.ts";
import { readStored, storedBytes } from "./stored.ts";

/** No tenant has this id. */
const PLACE = "~deleted";
const DAY_MS = 86_400_000;

const Mark = z.looseObject({ at_ms: z.int().min(0) });

const markKey = (tenant_id: string): KvKey => [PLACE, tenant_id];

const timeOf = (value: Uint8Array): number =>
  readStored(value, Mark, "mark of a deleted tenant", Infinity)?.at_ms ?? 0;

/** Marks the tenant as deleted now; removes the marks of earlier days. */
export async function markDeleted(
  bucket: KeyValue,
  tenant_id: string,
  now_ms: number,
): Promise<void> {
  await bucket.put(markKey(tenant_id), storedBytes({ at_ms: now_ms }));
  for (const key of await bucket.keys([PLACE])) {
    const entry = await bucket.get(key);
    if (entry === undefined) continue;
    if ((entry.age_ms ?? now_ms - timeOf(entry.value)) < DAY_MS) continue;
    await bucket.delete(key, entry.revision).catch((error) => {
      // Its tenant was deleted again.
      if (!isConflict(error)) throw error;
    });
  }
}

/** Removes messages that were appended after the deletion of their tenant. */
export async function takeBack(
  log: DurableLog,
  room_id: string,
  offsets: readonly number[],
): Promise<void> {
  // A replica that lags may not find them.
  if (await log.erase(room_id, offsets) < offsets.length) {
    await log.trim(room_id, { through: Math.max(...offsets) });
  }
  await log.forgetNames();
}

/** Called after a tenant was deleted: what is waiting to be stored of it is forgotten. */
type DeletionListener = (tenant_id: string) => void;

/** The marks as one process knows them. */
export class TenantDeletions {
  readonly #bucket: Pick<KeyValue, "get">;
  readonly #onFailure: (tenant_id: string, error: unknown) => void;
  readonly #marks = new Map<string, { readonly revision: number; readonly at_ms: number }>();
  readonly #listeners = new Set<DeletionListener>();
  #is_listed = false;

  constructor(
    bucket: Pick<KeyValue, "get">,
    onFailure: (tenant_id: string, error: unknown) => void,
  ) {
    this.#bucket = bucket;
    this.#onFailure = onFailure;
  }

  /** Takes a change of the bucket; false: it is about something else. */
  take({ key, value, revision }: KvChange): boolean {
    const [place, tenant_id = ""] = key;
    if (place !== PLACE) return false;
    if (value === undefined) this.#marks.delete(tenant_id);
    else if (this.known(tenant_id) !== revision) {
      this.#marks.set(tenant_id, { revision, at_ms: timeOf(value) });
      if (this.#is_listed) this.#tell(tenant_id);
    }
    return true;
  }

  /** From now on marks are news: this process knew nothing when the earlier ones were made. */
  listed(): void {
    this.#is_listed = true;
  }

  /** Calls the listener for each tenant that is deleted from now on, until the result is called. */
  onDeleted(listener: DeletionListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** The newest known mark of the tenant; 0: none. Take it before reading what a later write depends on. */
  known(tenant_id: string): number {
    return this.#marks.get(tenant_id)?.revision ?? 0;
  }

  /** Whether something that happened then is of a tenant that was deleted since, by the clock of the deletion. */
  isPast(tenant_id: string, time_ms: number): boolean {
    return time_ms < (this.#marks.get(tenant_id)?.at_ms ?? 0);
  }

  /** Whether the tenant was deleted after `since`. Rejects as the bucket does. */
  async isDeleted(tenant_id: string, since: number): Promise<boolean> {
    const revision = (await this.#bucket.get(markKey(tenant_id)))?.revision ?? since;
    return revision !== since;
  }

  /**
   * Stores what was decided at `since`; undefined: the tenant was deleted later, and nothing stays. Rejects as bucket,
   * `write` and `undo` do.
   */
  async keep<Written>(
    tenant_id: string,
    since: number,
    write: () => Promise<Written>,
    undo: (written: Written) => Promise<unknown>,
  ): Promise<Written | undefined> {
    if (await this.isDeleted(tenant_id, since)) return undefined;
    const written = await write();
    if (!await this.isDeleted(tenant_id, since)) return written;
    await undo(written);
    return undefined;
  }

  /** `KeyValue.put` of an entry whose key begins with the tenant, as `keep`. */
  put(
    bucket: Pick<KeyValue, "put" | "delete">,
    since: number,
    key: KvKey,
    value: Uint8Array,
  ): Promise<number | undefined> {
    const [tenant_id = ""] = key;
    const write = () => bucket.put(key, value);
    return this.keep(tenant_id, since, write, (revision) => bucket.delete(key, revision));
  }

  /**
   * `KeyValue.update` of an entry whose key begins with the tenant, and that was read after `since`. Rejects as it
   * does; with `version-conflict` also for an entry that did not exist, if the tenant was deleted later.
   */
  async update(
    bucket: Pick<KeyValue, "update" | "delete">,
    since: number,
    { key, value, expected_revision }: KvUpdate,
  ): Promise<number> {
    const write = () => bucket.update(key, value, expected_revision);
    // An existing entry went with the tenant.
    if (expected_revision > 0) return await write();
    const [tenant_id = ""] = key;
    const undo = (revision: number) => bucket.delete(key, revision);
    const revision = await this.keep(tenant_id, since, write, undo);
    if (revision === undefined) throw conflictAt(key, 0);
    return revision;
  }

  /** Appends a message that was decided at `since`, as `keep`. */
  append(
    log: DurableLog,
    since: number,
    room_id: string,
    payload: Uint8Array,
    options?: AppendOptions,
  ) {
    return this.keep(
      log.tenant_id,
      since,
      () => log.append(room_id, payload, options),
      ({ offset }) => takeBack(log, room_id, [offset]),
    );
  }

  #tell(tenant_id: string): void {
    for (const listener of this.#listeners) {
      try {
        listener(tenant_id);
      } catch (error) {
        this.#onFailure(tenant_id, error);
      }
    }
  }
}
