/**
 * The encryption keys of the journal, in the bucket `ARQON_JOURNAL_KEYS`: one for each user of a tenant in each period.
 * Erasing a user deletes the keys, and nobody can decrypt the sections. The bucket names nobody: a user is an HMAC
 * under a secret of the tenant. `shared/journal/` encrypts.
 */
import { createHmac, randomBytes } from "node:crypto";
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import { NO_KEY, type UserKey, type UserKeys } from "../../shared/journal/user_keys.ts";
import type { Env } from "../../shared/env.ts";
import { changeDocument, isConflict } from "../../shared/spine/contract/compare_and_set.ts";
import type { KeyValue, KvKey, KvWatch, Spine } from "../../shared/spine/contract/spine.ts";
import { StorageFull } from "../../shared/spine/contract/write_errors.ts";
import { turn } from "../../shared/turns/next_turn.ts";
import { slice } from "../../shared/turns/slices.ts";

/** The bucket of all tenants' keys. */
export const JOURNAL_KEYS_BUCKET = "ARQON_JOURNAL_KEYS";
const KEY_BYTES = 32;
const ID_BYTES = 16;
/** A user's key changes with each period, so that keys expire with what they encrypt. */
const PERIOD_MS = 30 * 86_400_000;
/** How long a key is used without reading the bucket; a watch reports erasures at once. */
const CACHED_MS = 60_000;
/** How long no new users are added to a full bucket, in ms. */
const FULL_MS = 60_000;
/** The most concurrent requests for keys. */
const AT_ONCE = 32;
/** The number of periods that a sweep looks back. */
const PERIODS_SWEPT = 12;
/** The most deletions of one sweep. */
const SWEPT_MAX = 20_000;

interface JournalKeysOptions extends Pick<Env, "log" | "now"> {
  readonly bucket: KeyValue;
  readonly spine: Pick<Spine, "onEvent">;
  /** Monotonic ms; absent: `performance.now`. */
  readonly monotonic_ms?: () => number;
  /** The most keys in memory, for writers and for readers. */
  readonly keys_max: number;
}

interface Held<Key> {
  readonly key: Key;
  readonly until_ms: number;
}

const text = (bytes: Uint8Array): string =>
  bytes.toBase64({ alphabet: "base64url", omitPadding: true });
const periodOf = (at_ms: number): string => String(Math.floor(at_ms / PERIOD_MS));
/** A key of the bucket: `u` by user has id and key, `k` by id has the key, `e` marks an erased user; `p` a period. */
const place = (kind: "u" | "k" | "e", period: string, tenant_id: string, name: string): KvKey => [
  kind,
  period,
  tenant_id,
  name,
];

/** Runs `work` for each item, a few at a time and in slices of the tenant; results are in order. */
async function each<T, R>(
  tenant_id: string,
  items: readonly T[],
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += AT_ONCE) {
    if (at > 0) await slice(tenant_id);
    results.push(...await Promise.all(items.slice(at, at + AT_ONCE).map(work)));
  }
  return results;
}

/** The keys of all tenants' users in one Shield. */
export class JournalKeys implements UserKeys {
  readonly #options: JournalKeysOptions;
  readonly #handles: UserHandles;
  /** Keys by period, tenant and handle of the user. */
  readonly #writing: BoundedMap<string, Held<UserKey>>;
  /** Keys by period, tenant and id; undefined: erased. */
  readonly #reading: BoundedMap<string, Held<Uint8Array | undefined>>;
  /** Known erasures, by period, tenant and handle: records from before an erasure may be encrypted after it. */
  readonly #erased: BoundedMap<string, { readonly id: string; readonly at_ms: number }>;
  /** Whether erasures from before this process are known. */
  #is_current = false;
  readonly #monotonic_ms: () => number;
  /** The end of the pause after a full bucket; monotonic ms. */
  #full_until_ms = -Infinity;
  /** Users' sections that were not written, for lack of a key. */
  unkept = 0;
  /** Periods that have an entry of their own. */
  readonly #named = new Set<string>();
  /** Running requests for keys. */
  readonly #pending = new Map<string, Promise<UserKey>>();
  /** Increases with every erasure: keys fetched before may be stale. */
  #erasures = 0;
  readonly #watch: KvWatch;
  readonly #unlisten: () => void;

  constructor(options: JournalKeysOptions) {
    this.#options = options;
    this.#monotonic_ms = options.monotonic_ms ?? (() => performance.now());
    this.#handles = new UserHandles(options.bucket, options.keys_max);
    this.#writing = new BoundedMap(options.keys_max);
    this.#reading = new BoundedMap(options.keys_max);
    this.#erased = new BoundedMap(options.keys_max);
    this.#watch = options.bucket.watch(["e"], ({ key, value }) => {
      if (value !== undefined) this.#forget(key, value);
    });
    // It ends with the Spine, and resumes after a reconnect.
    this.#watch.ready.then(() => this.#is_current = true, (error: unknown) => {
      options.log.warn("erasures of journal keys are not received", { error });
    });
    this.#unlisten = options.spine.onEvent((event) => {
      if (event.type === "gap") this.#forgetAll();
    });
  }

  /** Keys in memory. */
  get size(): number {
    return this.#writing.size + this.#reading.size;
  }

  forWriting(
    tenant_id: string,
    users: readonly string[],
    since_ms: number = this.#monotonic_ms(),
  ): Promise<readonly UserKey[]> {
    return each(tenant_id, users, (user) => this.#ofUserIfRoom(tenant_id, user, since_ms));
  }

  forReading(
    tenant_id: string,
    ids: readonly Uint8Array[],
  ): Promise<readonly (Uint8Array | undefined)[]> {
    return each(tenant_id, ids, (id) => this.#ofId(tenant_id, id));
  }

  /**
   * Deletes every key of the user. Resolves to their number once all are deleted. Rejects with `spine-unavailable`; a
   * retry deletes the rest.
   */
  async erase(tenant_id: string, user: string): Promise<number> {
    const { bucket, now } = this.#options;
    const handle = await this.#handles.of(tenant_id, user);
    let erased = 0;
    // Queued records may have no key yet, and get none.
    const notice = place("e", periodOf(now()), tenant_id, handle);
    const notice_id = new Uint8Array(randomBytes(ID_BYTES));
    this.#forget(notice, notice_id);
    // All that were ever named: clocks differ, and any of them may have been wrong.
    for (const [, period = ""] of await bucket.keys(["p"])) {
      if (await this.#eraseIn(period, tenant_id, handle)) erased++;
    }
    // The other Shields see this with the key's deletion.
    if (erased === 0) await this.#tidy(() => bucket.put(notice, notice_id));
    return erased;
  }

  /** Deletes keys of periods whose records have all expired. */
  async sweep(max_age_ms: number): Promise<number> {
    const { bucket, now } = this.#options;
    const first_kept = Number(periodOf(now() - max_age_ms - PERIOD_MS / 30));
    let swept = 0;
    for (let period = first_kept - PERIODS_SWEPT; period < first_kept; period++) {
      for (const kind of ["e", "u", "k", "p"]) {
        for (const key of await bucket.keys([kind, String(period)])) {
          await bucket.delete(key);
          if (++swept === SWEPT_MAX) return swept;
          if (swept % AT_ONCE === 0) await turn();
        }
      }
    }
    return swept;
  }

  close(): void {
    this.#watch.stop();
    this.#unlisten();
    this.#forgetAll();
  }

  /** The user's key, or `NO_KEY` if the bucket is full. */
  async #ofUserIfRoom(tenant_id: string, user: string, since_ms: number): Promise<UserKey> {
    const { log } = this.#options;
    try {
      return await this.#ofUser(tenant_id, user, since_ms);
    } catch (error) {
      if (!(error instanceof StorageFull)) throw error;
      if (this.#monotonic_ms() >= this.#full_until_ms) {
        this.#full_until_ms = this.#monotonic_ms() + FULL_MS;
        log.warn("the bucket of keys is full: the journal does not identify new users", { error });
      }
      this.unkept++;
      return NO_KEY;
    }
  }

  async #ofUser(tenant_id: string, user: string, since_ms: number): Promise<UserKey> {
    const handle = await this.#handles.of(tenant_id, user);
    const period = periodOf(this.#options.now());
    const name = `${period} ${tenant_id} ${handle}`;
    const found = await this.#found(name, () => this.#open(period, tenant_id, handle));
    const erased = this.#erased.get(name);
    return erased === undefined || erased.at_ms <= since_ms ? found : madeKey(period);
  }

  /** The cached key under a name, else what `open` finds or makes. */
  async #found(name: string, open: () => Promise<UserKey>): Promise<UserKey> {
    const held = this.#writing.use(name);
    if (held !== undefined && held.until_ms > this.#monotonic_ms()) return held.key;
    const asking = this.#pending.get(name) ?? open();
    this.#pending.set(name, asking);
    const erasures = this.#erasures;
    try {
      const found = await asking;
      const until_ms = this.#monotonic_ms() + CACHED_MS;
      if (erasures === this.#erasures) this.#writing.renew(name, { key: found, until_ms });
      return found;
    } finally {
      this.#pending.delete(name);
    }
  }

  /** The user's key of the period, made if necessary. */
  #open(period: string, tenant_id: string, handle: string): Promise<UserKey> {
    const { bucket } = this.#options;
    const by_user = place("u", period, tenant_id, handle);
    return changeDocument(async (mayLose) => {
      const entry = await bucket.get(by_user);
      const found = entry === undefined ? undefined : split(entry.value);
      if (found?.key !== undefined) return { id: found.id, key: found.key };
      // An interrupted erasure is completed first.
      if (found !== undefined) await bucket.delete(place("k", period, tenant_id, text(found.id)));
      if (this.#monotonic_ms() < this.#full_until_ms) {
        throw new StorageFull("it was full recently");
      }
      // After an interruption the watch may not have reported it yet.
      const notice = place("e", period, tenant_id, handle);
      const notified = await bucket.get(notice);
      if (notified !== undefined) this.#forget(notice, notified.value);
      if (!this.#named.has(period)) await bucket.put(["p", period], new Uint8Array(0));
      this.#named.add(period);
      const made = madeKey(period);
      const by_id = place("k", period, tenant_id, text(made.id));
      await bucket.put(by_id, made.key);
      const value = Uint8Array.from([...made.id, ...made.key]);
      try {
        await mayLose(bucket.update(by_user, value, entry?.revision ?? 0));
      } catch (error) {
        // Another Shield was faster; this key has encrypted nothing.
        if (isConflict(error)) await bucket.delete(by_id).catch(() => {});
        throw error;
      }
      return made;
    });
  }

  async #ofId(tenant_id: string, id: Uint8Array): Promise<Uint8Array | undefined> {
    const { bucket } = this.#options;
    if (id.length !== ID_BYTES) return undefined;
    const period = periodIn(id);
    const name = `${period} ${tenant_id} ${text(id)}`;
    const held = this.#reading.use(name);
    if (held !== undefined && held.until_ms > this.#monotonic_ms()) return held.key;
    const erasures = this.#erasures;
    const entry = await bucket.get(place("k", period, tenant_id, text(id)));
    const key = entry?.value.length === KEY_BYTES ? entry.value : undefined;
    const until_ms = this.#monotonic_ms() + CACHED_MS;
    if (erasures === this.#erasures) this.#reading.renew(name, { key, until_ms });
    return key;
  }

  /** Deletes the user's key of one period; false: there was none. */
  async #eraseIn(period: string, tenant_id: string, handle: string): Promise<boolean> {
    const { bucket } = this.#options;
    const by_user = place("u", period, tenant_id, handle);
    const id = await changeDocument(async (mayLose) => {
      const entry = await bucket.get(by_user);
      const found = entry && split(entry.value);
      if (entry === undefined || found === undefined) return undefined;
      // From now on writers see that it is erased, even if this process dies.
      if (found.key !== undefined) {
        await mayLose(bucket.update(by_user, found.id, entry.revision));
      }
      return found.id;
    });
    if (id === undefined) return false;
    const by_id = place("k", period, tenant_id, text(id));
    // Overwriting removes it also from a full bucket, which accepts no deletion.
    await bucket.put(by_id, new Uint8Array(0));
    const notice = place("e", period, tenant_id, handle);
    this.#forget(notice, id);
    await this.#tidy(() => bucket.delete(by_id));
    await this.#tidy(() => bucket.put(notice, id));
    await this.#tidy(async () => {
      const entry = await bucket.get(by_user);
      const is_marked = entry !== undefined && split(entry.value)?.key === undefined;
      if (is_marked) await bucket.delete(by_user, entry.revision);
    });
    return true;
  }

  /** Runs cleanup work that may fail, as the user's key is deleted already. */
  async #tidy(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (isConflict(error)) return;
      this.#options.log.warn("remains of an erased key of the journal could not be deleted", {
        error,
      });
    }
  }

  /** A user was erased: the key with that id is stale. */
  #forget([, period = "", tenant_id = "", handle = ""]: KvKey, id: Uint8Array): void {
    this.#erasures++;
    const writing = `${period} ${tenant_id} ${handle}`;
    // A repeated notice is no new erasure.
    if (this.#erased.get(writing)?.id !== text(id)) {
      const at_ms = this.#is_current ? this.#monotonic_ms() : -Infinity;
      this.#erased.renew(writing, { id: text(id), at_ms });
    }
    const held = this.#writing.get(writing);
    if (held !== undefined && text(held.key.id) === text(id)) this.#writing.delete(writing);
    this.#reading.delete(`${period} ${tenant_id} ${text(id)}`);
  }

  /** Clears all keys, as erasures may have been missed. */
  #forgetAll(): void {
    this.#erasures++;
    while (this.#writing.size > 0) this.#writing.dropOldest();
    while (this.#reading.size > 0) this.#reading.dropOldest();
  }
}

/** A new key of that period, not stored yet. */
function madeKey(period: string): UserKey {
  return {
    id: Uint8Array.from([...periodBytes(period), ...randomBytes(ID_BYTES - 2)]),
    key: new Uint8Array(randomBytes(KEY_BYTES)),
  };
}

/** The id and the key in a stored value; without a key: an erasure is running; undefined: neither. */
function split(value: Uint8Array): { id: Uint8Array; key: Uint8Array | undefined } | undefined {
  if (value.length !== ID_BYTES && value.length !== ID_BYTES + KEY_BYTES) return undefined;
  const key = value.length === ID_BYTES ? undefined : value.slice(ID_BYTES);
  return { id: value.slice(0, ID_BYTES), key };
}

/** The period as part of an id, so that the id alone finds the key. */
function periodBytes(period: string): [number, number] {
  const number = Number(period);
  return [number >> 8 & 255, number & 255];
}

function periodIn(id: Uint8Array): string {
  return String((id[0] ?? 0) << 8 | (id[1] ?? 0));
}

// Pseudonyms of users: an HMAC under a secret of the tenant, under which a user's keys are stored.

const SECRET_BYTES = 32;
const HANDLE_BYTES = 16;

/** The pseudonyms of all tenants' users. */
class UserHandles {
  readonly #bucket: Pick<KeyValue, "get" | "update">;
  readonly #secrets = new Map<string, Promise<Uint8Array>>();
  /** Pseudonyms by tenant and user, as a block needs all of its users at once. */
  readonly #known: BoundedMap<string, string>;

  /** Caches up to `known_max` pseudonyms. */
  constructor(bucket: Pick<KeyValue, "get" | "update">, known_max: number) {
    this.#bucket = bucket;
    this.#known = new BoundedMap(known_max);
  }

  /** Rejects with `spine-unavailable` if the tenant's secret cannot be read. */
  async of(tenant_id: string, user: string): Promise<string> {
    const name = `${tenant_id} ${user}`;
    const known = this.#known.use(name);
    if (known !== undefined) return known;
    const secret = await this.#secretOf(tenant_id);
    const hash = createHmac("sha256", secret).update(user).digest().subarray(0, HANDLE_BYTES);
    const handle = hash.toBase64({ alphabet: "base64url", omitPadding: true });
    this.#known.renew(name, handle);
    return handle;
  }

  #secretOf(tenant_id: string): Promise<Uint8Array> {
    const known = this.#secrets.get(tenant_id);
    if (known !== undefined) return known;
    const asking = this.#secret(tenant_id);
    this.#secrets.set(tenant_id, asking);
    asking.catch(() => this.#secrets.delete(tenant_id));
    return asking;
  }

  #secret(tenant_id: string): Promise<Uint8Array> {
    const key = ["s", tenant_id];
    return changeDocument(async (mayLose) => {
      const found = await this.#bucket.get(key);
      if (found !== undefined) return found.value;
      const made = new Uint8Array(randomBytes(SECRET_BYTES));
      await mayLose(this.#bucket.update(key, made, 0));
      return made;
    });
  }
}
