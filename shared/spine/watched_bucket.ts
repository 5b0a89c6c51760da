/**
 * A bucket of refusals that a process holds in memory and that fails closed: what is held is known to
 * be all only from the end of a listing until the connection to the Spine is lost, and of a tenant
 * only while all that it has fits. This owns the watch, the listings, the bound and the health. What an
 * entry says and where it is looked up is its owner's: `shield/auth/bans.ts` and
 * `shield/auth/revocations.ts`. It is not for documents of which the last known one stays in force
 * (settings, policies): their watch is the engine's own.
 */
import { ArqonError } from "@arqon/proto";
import type { Logger } from "../logs/log.ts";
import type { HealthCheck } from "../listeners/ops.ts";
import { plural } from "../plural.ts";
import type { KeyValue, KvChange, KvEntry, KvKey, KvWatch, Spine } from "./contract/spine.ts";

/** Tenants with more than fits are remembered one by one up to this, then all count as such. */
const INCOMPLETE_TENANTS_MAX = 10_000;
/** No tenant has this id. */
const EVERY_TENANT = "*";
/** What did not fit is looked for again once this fraction of the space is in use. */
const REFILL_AT = 0.9;

/** What a key names. */
interface InTenant {
  readonly tenant_id: string;
}

/** How the entries of a bucket are read. */
export interface EntryReader<Named extends InTenant, Held extends object> {
  /** What a key names; undefined when it is none of this bucket. */
  parseKey(key: KvKey): Named | undefined;
  /**
   * What an entry says; undefined when it is over and nothing of it is to be held. Throws, with what is
   * wrong, when its value cannot be read or is another key's.
   */
  read(entry: KvEntry, named: Named): Held | undefined;
  /** What holds in the place of an entry that cannot be read: as much as its key can be about. */
  unreadable(entry: KvEntry, named: Named): Held;
  /** When it is over, Unix ms; 0: never. */
  endOf(held: Held): number;
}

/** Where the entries are looked up. No two entries are the same object. */
export interface EntryTable<Named extends InTenant, Held extends object> {
  readonly size: number;
  get(named: Named): Held | undefined;
  set(named: Named, held: Held): void;
  delete(named: Named): void;
  /** Drops all but those. */
  keep(wanted: (held: Held) => boolean): void;
}

/** What could not be applied: an entry that cannot be read, or one that does not fit. */
export type EntryProblem = "malformed" | "unheld";

/** What a watched bucket needs. */
export interface WatchedBucketOptions<Named extends InTenant, Held extends object> {
  /** One entry in words, "ban"; with an s it is also what `[limits]` calls the bound. */
  readonly entry: string;
  /** The bucket's name, for the log. */
  readonly name: string;
  readonly bucket: KeyValue;
  readonly spine: Pick<Spine, "status" | "onEvent">;
  readonly log: Logger;
  /** Unix ms. */
  readonly now: () => number;
  /** Entries of all tenants that are held. */
  readonly max: number;
  readonly reader: EntryReader<Named, Held>;
  readonly table: EntryTable<Named, Held>;
  /** Called for each entry in force, also for one that did not fit or was reported before. */
  readonly onPut: (named: Named, held: Held) => void;
  /** Counts. */
  readonly onProblem: (problem: EntryProblem) => void;
}

/** What a listing under way has found. */
interface Listing<Held> {
  readonly held: Set<Held>;
  readonly incomplete: Set<string>;
}

/** The watch of one bucket; what it finds is in the table. */
export class WatchedBucket<Named extends InTenant, Held extends object> {
  readonly #options: WatchedBucketOptions<Named, Held>;
  readonly #entries: string;
  readonly #stopEvents: () => void;
  readonly #ready = Promise.withResolvers<void>();
  /** Tenants of which an entry did not fit. */
  #incomplete = new Set<string>();
  #state: "new" | "started" | "closed" = "new";
  /** Nothing that is held is over before, Unix ms: to look for it costs a look at all. */
  #first_end_ms = Infinity;
  #known = false;
  #since_ms: number;
  #watch: KvWatch | undefined;
  /** The newest revision that this watch has told: an older copy of the bucket gives revisions again. */
  #told = 0;
  /** The revisions, by key, that were applied and not reported yet; as many as there are writes under way. */
  readonly #taken = new Map<string, number>();
  #listing: Listing<Held> | undefined;

  constructor(options: WatchedBucketOptions<Named, Held>) {
    this.#options = options;
    this.#entries = `${options.entry}s`;
    this.#since_ms = options.now();
    // Whoever does not wait for it must not crash the process.
    this.#ready.promise.catch(() => {});
    this.#stopEvents = options.spine.onEvent((event) => {
      if (event.type === "state") this.#onState(event.status.state === "connected");
    });
  }

  /** Resolves when all is known for the first time; rejects when this is closed before. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  get is_closed(): boolean {
    return this.#state === "closed";
  }

  /** Begins to watch. */
  start(): void {
    if (this.is_closed) return;
    this.#state = "started";
    this.#list();
  }

  /** Throws `spine-unavailable` while not all is known. */
  requireKnown(): void {
    if (this.#known) return;
    const detail = `the ${this.#entries} cannot be read`;
    throw new ArqonError("spine-unavailable", detail, { retry_after_ms: 1_000 });
  }

  /** Throws `spine-unavailable` for a tenant that has, or may have, more than is held. */
  requireComplete(tenant_id: string): void {
    if (this.#incomplete.size === 0 || !this.isIncomplete(tenant_id)) return;
    const detail = `the tenant has more ${this.#entries} than [limits] ${this.#entries}`;
    throw new ArqonError("spine-unavailable", detail);
  }

  /** Whether the tenant, or any, may have more than is held. */
  isIncomplete(tenant_id?: string): boolean {
    if (tenant_id === undefined || this.#incomplete.has(EVERY_TENANT)) {
      return this.#incomplete.size > 0;
    }
    return this.#incomplete.has(tenant_id);
  }

  /** Whether one more can be held, now or once expired entries are removed, which this then does. */
  hasSpace(): boolean {
    const { table, max } = this.#options;
    if (table.size < max) return true;
    this.dropOver();
    return table.size < max;
  }

  /** Removes expired entries. */
  dropOver(): void {
    const { reader, table, now } = this.#options;
    const now_ms = now();
    if (now_ms < this.#first_end_ms) return;
    let first_end_ms = Infinity;
    table.keep((held) => {
      const end_ms = reader.endOf(held) || Infinity;
      if (now_ms >= end_ms) return false;
      first_end_ms = Math.min(first_end_ms, end_ms);
      return true;
    });
    this.#first_end_ms = first_end_ms;
  }

  /**
   * Takes up an entry that this process has stored before the watch tells it, so that it holds here when
   * this returns. Nothing is done about one that the watch has told already: it may have told since that
   * somebody else has deleted it. (When the watch began after the write, it has told no earlier
   * deletion; what was deleted by then is held until the next listing.)
   */
  take(entry: KvEntry): void {
    const { key, revision } = entry;
    if (revision <= this.#told || this.#isOvertaken(key, revision)) return;
    this.#taken.set(JSON.stringify(key), revision);
    this.#takeUp({ type: "put", ...entry });
  }

  /** The readiness check of the process. */
  check(): HealthCheck {
    const incomplete = this.#incomplete.size;
    const { entry, table } = this.#options;
    const detail = !this.#known
      ? `the ${this.#entries} cannot be read`
      : `${plural(table.size, entry)}${
        incomplete === 0 ? "" : `; ${plural(incomplete, "tenant has", "tenants have")} more`
      }`;
    return { ok: this.#known, since_ms: this.#since_ms, detail };
  }

  /** Stops watching; what is held stays, and is not known to be all. */
  close(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#stopEvents();
    this.#turnTo(false);
    this.#watch?.stop();
    this.#ready.reject(new ArqonError("spine-unavailable", "closed"));
  }

  #onState(connected: boolean): void {
    if (this.#state !== "started") return;
    if (!connected) this.#turnTo(false);
    else if (!this.#known) this.#list();
  }

  #turnTo(known: boolean): void {
    if (this.#known !== known) this.#since_ms = this.#options.now();
    this.#known = known;
  }

  /**
   * Watches anew, from a listing on; what was held stays in force meanwhile. The engine would relist
   * automatically, but not say when it is done.
   */
  #list(): void {
    const { bucket, log } = this.#options;
    this.#watch?.stop();
    const listing = { held: new Set<Held>(), incomplete: new Set<string>() };
    this.#listing = listing;
    this.#told = 0;
    this.#taken.clear();
    let watch: KvWatch;
    try {
      watch = bucket.watch([], (change) => this.#hear(change));
    } catch (error) {
      // Lost again meanwhile: the next connect lists.
      return log.warn(`the ${this.#entries} cannot be listed`, { error });
    }
    this.#watch = watch;
    watch.ready.then(() => this.#onListed(watch, listing), (error) => {
      if (this.#watch !== watch || this.is_closed) return;
      log.warn(`the ${this.#entries} cannot be read`, { error });
    });
  }

  #onListed(watch: KvWatch, { held, incomplete }: Listing<Held>): void {
    if (this.is_closed || this.#watch !== watch) return;
    const { spine, table, log } = this.#options;
    this.#listing = undefined;
    this.#incomplete = incomplete;
    // What was lifted while nobody listened.
    table.keep((one) => held.has(one));
    this.#turnTo(spine.status.state === "connected");
    this.#ready.resolve();
    log.info(`the ${this.#entries} are known`, { [this.#entries]: table.size });
    this.#refill();
  }

  #hear(change: KvChange): void {
    const { key, revision } = change;
    this.#told = Math.max(this.#told, revision);
    if (!this.#isOvertaken(key, revision)) this.#takeUp(change);
  }

  /** Whether a later revision of the key was applied before it was reported. */
  #isOvertaken(key: KvKey, revision: number): boolean {
    if (this.#taken.size === 0) return false;
    const place = JSON.stringify(key);
    if (revision < (this.#taken.get(place) ?? 0)) return true;
    this.#taken.delete(place);
    return false;
  }

  #takeUp(change: KvChange): void {
    const { entry: what, reader, table, onPut } = this.#options;
    const { key } = change;
    const named = reader.parseKey(key);
    if (named === undefined) {
      return this.#problem("malformed", `the key of a ${what} is malformed`, key);
    }
    const held = change.type === "put" ? this.#read(change, named) : undefined;
    if (held === undefined) table.delete(named);
    else {
      this.#hold(named, held);
      onPut(named, held);
    }
    this.#refill();
  }

  #read(entry: KvEntry, named: Named): Held | undefined {
    const { reader } = this.#options;
    try {
      return reader.read(entry, named);
    } catch (error) {
      this.#problem("malformed", error instanceof Error ? error.message : String(error), entry.key);
      return reader.unreadable(entry, named);
    }
  }

  #hold(named: Named, held: Held): void {
    const { reader, table } = this.#options;
    if (table.get(named) === undefined && !this.hasSpace()) return this.#miss(named.tenant_id);
    table.set(named, held);
    this.#first_end_ms = Math.min(this.#first_end_ms, reader.endOf(held) || Infinity);
    this.#listing?.held.add(held);
  }

  #miss(tenant_id: string): void {
    const text = `a tenant has more ${this.#entries} than fit into [limits] ${this.#entries}`;
    this.#problem("unheld", text, [tenant_id]);
    for (const tenants of [this.#incomplete, this.#listing?.incomplete]) {
      if (tenants === undefined || tenants.has(EVERY_TENANT)) continue;
      const many = tenants.size >= INCOMPLETE_TENANTS_MAX;
      if (many) tenants.clear();
      tenants.add(many ? EVERY_TENANT : tenant_id);
    }
  }

  /** Looks for what did not fit once there is space; until it is found, its tenants stay shut out. */
  #refill(): void {
    if (this.#incomplete.size === 0 || this.#listing !== undefined || !this.#known) return;
    if (this.#options.table.size <= this.#options.max * REFILL_AT) this.#list();
  }

  #problem(problem: EntryProblem, text: string, key: KvKey): void {
    const { name, log, onProblem } = this.#options;
    onProblem(problem);
    log.error(text, { bucket: name, key: JSON.stringify(key).slice(0, 300) });
  }
}
