/**
 * A bucket of bans or revocations that a process caches in memory and that fails closed: the cache is complete only
 * from the end of a listing until the connection to the Spine is lost, and for a tenant only while all its entries fit.
 * This class has the watch, the listings, the bound and the health check. `shield/auth/bans.ts` and
 * `shield/auth/revocations.ts` define the entries and look them up. It is not for documents whose last known version
 * stays in force (settings, policies): these use the engine's own watch.
 */
import { ArqonError } from "@arqon/proto";
import type { Logger } from "../logs/log.ts";
import type { ClockSteps } from "../clock_steps.ts";
import type { HealthCheck } from "../listeners/ops.ts";
import { plural } from "../plural.ts";
import type { KeyValue, KvChange, KvEntry, KvKey, KvWatch, Spine } from "./contract/spine.ts";
import { awaitedLater } from "../awaited_later.ts";

/** Incomplete tenants are remembered one by one up to this number; above, all count as incomplete. */
const INCOMPLETE_TENANTS_MAX = 10_000;
/** No tenant has this id. */
const EVERY_TENANT = "*";
/** Entries that did not fit are listed again once usage has fallen to this fraction of the space. */
const REFILL_AT = 0.9;

/** What a key refers to: at least a tenant. */
interface InTenant {
  readonly tenant_id: string;
}

/** Parses the entries of a bucket. */
export interface EntryReader<Named extends InTenant, Held extends object> {
  /** Parses a key; undefined if it does not belong to this bucket. */
  parseKey(key: KvKey): Named | undefined;
  /**
   * Parses an entry, also one that has expired by the process's clock. Throws with the problem if its value is
   * unreadable or belongs to another key.
   */
  read(entry: KvEntry, named: Named): Held;
  /** The entry that replaces an unreadable one: it covers everything that its key can refer to. */
  unreadable(entry: KvEntry, named: Named): Held;
  /** Expiry in Unix ms; 0: never. */
  endOf(held: Held): number;
}

/** The table that entries are looked up in. No two entries are the same object. */
export interface EntryTable<Named extends InTenant, Held extends object> {
  readonly size: number;
  get(named: Named): Held | undefined;
  set(named: Named, held: Held): void;
  delete(named: Named): void;
  /** Removes all other entries. */
  keep(wanted: (held: Held) => boolean): void;
}

/** Why an entry was not applied: it is unreadable, or does not fit. */
type EntryProblem = "malformed" | "unheld";

interface WatchedBucketOptions<Named extends InTenant, Held extends object> {
  /** The noun of an entry, "ban"; with an s it is also the key of the bound in `[limits]`. */
  readonly entry: string;
  readonly name: string;
  readonly bucket: KeyValue;
  readonly spine: Pick<Spine, "status" | "onEvent">;
  readonly log: Logger;
  /** Unix ms. */
  readonly now: () => number;
  /** Whether that clock is right: by a wrong one, entries in force are not dropped. */
  readonly steps: Pick<ClockSteps, "isBelieved">;
  /** The most entries of all tenants in memory. */
  readonly max: number;
  readonly reader: EntryReader<Named, Held>;
  readonly table: EntryTable<Named, Held>;
  /** Called for each stored entry, including entries that did not fit or were already reported. */
  readonly onPut: (named: Named, held: Held) => void;
  readonly onProblem: (problem: EntryProblem) => void;
}

/** The entries found by a listing under way. */
interface Listing<Held> {
  readonly held: Set<Held>;
  readonly incomplete: Set<string>;
}

/** The watch of one bucket; its entries are in the table. */
export class WatchedBucket<Named extends InTenant, Held extends object> {
  readonly #options: WatchedBucketOptions<Named, Held>;
  readonly #entries: string;
  readonly #stopEvents: () => void;
  readonly #ready = Promise.withResolvers<void>();
  /** Tenants with an entry that did not fit. */
  #incomplete = new Set<string>();
  #state: "new" | "started" | "closed" = "new";
  /** No entry expires before this time, Unix ms: a search for expired entries scans all. */
  #first_end_ms = Infinity;
  #known = false;
  #since_ms: number;
  #watch: KvWatch | undefined;
  /** The newest revision that this watch has delivered: a restored older bucket reuses revisions. */
  #delivered = 0;
  /** Revisions, by key, that were applied before the watch delivered them; one for each write under way. */
  readonly #taken = new Map<string, number>();
  #listing: Listing<Held> | undefined;

  constructor(options: WatchedBucketOptions<Named, Held>) {
    this.#options = options;
    this.#entries = `${options.entry}s`;
    this.#since_ms = options.now();
    awaitedLater(this.#ready.promise);
    this.#stopEvents = options.spine.onEvent((event) => {
      if (event.type === "state") this.#onState(event.status.state === "connected");
    });
  }

  /** Resolves at the end of the first listing; rejects if closed earlier. */
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

  /** Throws `spine-unavailable` while the listing is incomplete. */
  requireKnown(): void {
    if (this.#known) return;
    const detail = `the ${this.#entries} cannot be read`;
    throw new ArqonError("spine-unavailable", detail, { retry_after_ms: 1_000 });
  }

  /** Throws `spine-unavailable` for a tenant that has, or may have, entries that are not in memory. */
  requireComplete(tenant_id: string): void {
    if (this.#incomplete.size === 0 || !this.isIncomplete(tenant_id)) return;
    const detail = `the tenant has more ${this.#entries} than [limits] ${this.#entries}`;
    throw new ArqonError("spine-unavailable", detail);
  }

  /** Whether the tenant, or any tenant, may have entries that are not in memory. */
  isIncomplete(tenant_id?: string): boolean {
    if (tenant_id === undefined || this.#incomplete.has(EVERY_TENANT)) {
      return this.#incomplete.size > 0;
    }
    return this.#incomplete.has(tenant_id);
  }

  /** Whether one more entry fits; removes expired entries if necessary. */
  hasSpace(): boolean {
    const { table, max } = this.#options;
    if (table.size < max) return true;
    this.dropOver();
    return table.size < max;
  }

  dropOver(): void {
    const { reader, table, now, steps } = this.#options;
    const now_ms = now();
    if (now_ms < this.#first_end_ms || !steps.isBelieved()) return;
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
   * Applies an entry that this process has stored before the watch delivers it, so that it is in force when this
   * returns. Does nothing if the watch has already delivered it, because another process may have deleted it since. (If
   * the watch began after the write, an entry deleted before then stays until the next listing.)
   */
  take(entry: KvEntry): void {
    const { key, revision } = entry;
    if (revision <= this.#delivered || this.#isOvertaken(key, revision)) return;
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

  /** Stops watching; the entries stay, and count as incomplete. */
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
   * Watches again, beginning with a listing; the entries stay in force meanwhile. The engine would relist
   * automatically, but without reporting the end.
   */
  #list(): void {
    const { bucket, log } = this.#options;
    this.#watch?.stop();
    const listing = { held: new Set<Held>(), incomplete: new Set<string>() };
    this.#listing = listing;
    this.#delivered = 0;
    this.#taken.clear();
    let watch: KvWatch;
    try {
      watch = bucket.watch([], (change) => this.#receive(change));
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
    // Removes entries that were deleted while the watch was disconnected.
    table.keep((one) => held.has(one));
    this.#turnTo(spine.status.state === "connected");
    this.#ready.resolve();
    log.info(`the ${this.#entries} are known`, { [this.#entries]: table.size });
    this.#refill();
  }

  #receive(change: KvChange): void {
    const { key, revision } = change;
    this.#delivered = Math.max(this.#delivered, revision);
    if (!this.#isOvertaken(key, revision)) this.#takeUp(change);
  }

  /** Whether a later revision of the key was already applied. */
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
    if (change.type !== "put") table.delete(named);
    else {
      const held = this.#read(change, named);
      this.#hold(named, held);
      onPut(named, held);
    }
    this.#refill();
  }

  #read(entry: KvEntry, named: Named): Held {
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

  /** Lists the bucket again once there is space; until then the tenants of missing entries stay refused. */
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
