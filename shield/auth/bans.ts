/**
 * The bans in force, all in memory, looked up by user. They refuse operations; what a ban does to
 * open connections is `signals.ts`.
 */
import { ArqonError } from "@arqon/proto";
import {
  BANS_BUCKET,
  decodeBan,
  EVERY_ROOM,
  isActive,
  parseBanKey,
} from "../../shared/records/bans.ts";
import type { Logger } from "../../shared/logs/log.ts";
import type { HealthCheck } from "../../shared/listeners/ops.ts";
import type {
  KeyValue,
  KvChange,
  KvEntry,
  KvWatch,
  Spine,
} from "../../shared/spine/contract/spine.ts";
import { plural } from "../../shared/plural.ts";
import type { Identity } from "./identity.ts";
import { bump } from "../stats/stats.ts";
import type { ShieldStats } from "../stats/stats.ts";

/** Tenants with more bans than fit are remembered one by one up to this, then all count as such. */
const INCOMPLETE_TENANTS_MAX = 10_000;
/** No tenant has this id. */
const EVERY_TENANT = "*";
/** What did not fit is looked for again once this fraction of the space is in use. */
const REFILL_AT = 0.9;

/** The part of a ban that is needed for a refusal. */
export interface HeldBan {
  /** Unix ms; 0: without end. */
  readonly until_ms: number;
  readonly reason: string;
}

/** One user kept out of one room, or, with `EVERY_ROOM`, of the tenant. */
export interface ArrivedBan extends HeldBan {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly user_id: string;
}

/** What the bans need of the process. */
export interface BansOptions {
  readonly bucket: KeyValue;
  readonly spine: Pick<Spine, "status" | "onEvent">;
  readonly stats: Pick<ShieldStats, "bans" | "ban_problems">;
  readonly log: Logger;
  /** Unix ms. */
  readonly now: () => number;
  /** Bans of all tenants that are held: `[limits] bans`. */
  readonly bans_max: number;
}

/** What a listing under way has found. */
interface Listing {
  readonly bans: Set<HeldBan>;
  readonly incomplete: Set<string>;
}

type Who = Pick<Identity, "tenant_id" | "user_id">;

/** What an operation asks before it takes effect. */
export interface BanCheck {
  /** Throws `banned` (closes) or `room-banned` when the user may do nothing in that room. */
  requireRoom(who: Who, room_id: string): void;
}

/** A check that refuses nobody, for tools and tests. */
export const NO_BANS: BanCheck = { requireRoom: () => {} };

/** ` until 2026-01-02T03:04:05.000Z: spam`, as far as there is something to say. */
function particulars({ until_ms, reason }: HeldBan): string {
  const until = until_ms === 0 ? "" : ` until ${new Date(until_ms).toISOString()}`;
  return `${until}${reason === "" ? "" : `: ${reason}`}`;
}

/** The refusal that a banned user gets. */
export function banRefusal(room_id: string, ban: HeldBan): ArqonError {
  return room_id === EVERY_ROOM
    ? new ArqonError("banned", particulars(ban))
    : new ArqonError("room-banned", `${room_id}${particulars(ban)}`);
}

/**
 * The bans of all tenants, as the bucket has them. A ban matches the user id within its tenant,
 * whichever issuer vouches for it: of two issuers in one tenant that both know an `ann`, a ban of
 * `ann` keeps out both (fail closed: a banned user must not come back through another door).
 *
 * Known is what the bucket holds only from the end of a listing until the connection to the Spine is
 * lost. In between nobody new is let in; those who are in go on under the bans that were known.
 */
export class Bans implements BanCheck {
  readonly #options: BansOptions;
  /** Tenant, then room or `EVERY_ROOM`, then user. */
  readonly #tenants = new Map<string, Map<string, Map<string, HeldBan>>>();
  /** Tenants of which a ban did not fit. */
  #incomplete = new Set<string>();
  readonly #stopEvents: () => void;
  readonly #ready = Promise.withResolvers<void>();
  #held = 0;
  #known = false;
  #since_ms: number;
  #watch: KvWatch | undefined;
  #listing: Listing | undefined;
  #onBan: ((ban: ArrivedBan) => void) | undefined;
  #closed = false;

  constructor(options: BansOptions) {
    this.#options = options;
    this.#since_ms = options.now();
    // Whoever does not wait for it must not crash the process.
    this.#ready.promise.catch(() => {});
    this.#stopEvents = options.spine.onEvent((event) => {
      if (event.type === "state") this.#onState(event.status.state === "connected");
    });
  }

  /** Resolves when all bans are known for the first time; rejects when this is closed before. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** Begins to watch; `onBan` hears of each ban in force, also of one that it has heard of. */
  start(onBan: (ban: ArrivedBan) => void): void {
    this.#onBan = onBan;
    this.#list();
  }

  requireRoom({ tenant_id, user_id }: Who, room_id: string): void {
    if (this.#held === 0) return;
    const rooms = this.#tenants.get(tenant_id);
    if (rooms === undefined) return;
    this.#refuse(rooms, EVERY_ROOM, user_id);
    this.#refuse(rooms, room_id, user_id);
  }

  /**
   * Checks a user at the upgrade. Throws `banned`, and `spine-unavailable` while the tenant's bans
   * are not all known.
   */
  requireEntry({ tenant_id, user_id }: Who): void {
    if (!this.#known) {
      throw new ArqonError("spine-unavailable", "the bans cannot be read", {
        retry_after_ms: 1_000,
      });
    }
    const rooms = this.#tenants.get(tenant_id);
    if (rooms !== undefined) this.#refuse(rooms, EVERY_ROOM, user_id);
    if (this.#incomplete.size === 0) return;
    if (this.#incomplete.has(tenant_id) || this.#incomplete.has(EVERY_TENANT)) {
      throw new ArqonError("spine-unavailable", "the tenant has more bans than [limits] bans");
    }
  }

  /** The bans in force that are held, of one tenant or of all, in no order. */
  *list(tenant_id?: string): Iterable<ArrivedBan> {
    const now_ms = this.#options.now();
    for (const [tenant, rooms] of this.#tenants) {
      if (tenant_id !== undefined && tenant !== tenant_id) continue;
      for (const [room_id, users] of rooms) {
        for (const [user_id, ban] of users) {
          if (isActive(ban, now_ms)) yield { tenant_id: tenant, room_id, user_id, ...ban };
        }
      }
    }
  }

  /** Whether the tenant, or any, may have more bans than are held. */
  isIncomplete(tenant_id?: string): boolean {
    if (tenant_id === undefined || this.#incomplete.has(EVERY_TENANT)) {
      return this.#incomplete.size > 0;
    }
    return this.#incomplete.has(tenant_id);
  }

  /** Whether this ban is held, or one more of the tenant can be, which may have so many. */
  hasRoom({ tenant_id, room_id, user_id }: Omit<ArrivedBan, keyof HeldBan>, most: number): boolean {
    if (this.#tenants.get(tenant_id)?.get(room_id)?.has(user_id) === true) return true;
    const now_ms = this.#options.now();
    const room = () => this.#held < this.#options.bans_max && this.#count(tenant_id) < most;
    if (room()) return true;
    this.#sweep((held) => isActive(held, now_ms));
    return room();
  }

  /** Takes up a stored ban that the watch will tell, too; it is in force when this returns. */
  take(entry: KvEntry): void {
    this.#hear({ type: "put", entry });
  }

  check(): HealthCheck {
    const incomplete = this.#incomplete.size;
    const detail = !this.#known
      ? "the bans cannot be read"
      : `${plural(this.#held, "ban")}${
        incomplete === 0 ? "" : `; ${plural(incomplete, "tenant has", "tenants have")} more`
      }`;
    return { ok: this.#known, since_ms: this.#since_ms, detail };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopEvents();
    this.#turnTo(false);
    this.#watch?.stop();
    this.#ready.reject(new ArqonError("spine-unavailable", "closed"));
  }

  #count(tenant_id: string): number {
    let count = 0;
    for (const users of this.#tenants.get(tenant_id)?.values() ?? []) count += users.size;
    return count;
  }

  #refuse(rooms: Map<string, Map<string, HeldBan>>, room_id: string, user_id: string): void {
    const ban = rooms.get(room_id)?.get(user_id);
    if (ban !== undefined && isActive(ban, this.#options.now())) throw banRefusal(room_id, ban);
  }

  #onState(connected: boolean): void {
    if (this.#closed || this.#onBan === undefined) return;
    if (!connected) this.#turnTo(false);
    else if (!this.#known) this.#list();
  }

  #turnTo(known: boolean): void {
    if (this.#known !== known) this.#since_ms = this.#options.now();
    this.#known = known;
  }

  /**
   * Watches anew, from a listing on: the engine would relist by itself, but not say when it is
   * done.
   */
  #list(): void {
    const { bucket, log } = this.#options;
    this.#watch?.stop();
    const listing = { bans: new Set<HeldBan>(), incomplete: new Set<string>() };
    this.#listing = listing;
    let watch: KvWatch;
    try {
      watch = bucket.watch([], (change) => this.#hear(change));
    } catch (error) {
      // Lost again meanwhile: the next connect lists.
      return log.warn("the bans cannot be listed", { error });
    }
    this.#watch = watch;
    watch.ready.then(() => this.#onListed(watch, listing), (error) => {
      if (this.#watch === watch && !this.#closed) log.warn("the bans cannot be read", { error });
    });
  }

  #onListed(watch: KvWatch, { bans, incomplete }: Listing): void {
    if (this.#closed || this.#watch !== watch) return;
    this.#listing = undefined;
    this.#incomplete = incomplete;
    // What was lifted while nobody listened.
    this.#sweep((ban) => bans.has(ban));
    this.#turnTo(this.#options.spine.status.state === "connected");
    this.#ready.resolve();
    this.#options.log.info("the bans are known", { bans: this.#held });
    this.#refill();
  }

  #hear(change: KvChange): void {
    const key = change.type === "put" ? change.entry.key : change.key;
    const named = parseBanKey(key);
    if (named === undefined) {
      return this.#problem("malformed", "the key of a ban is malformed", key);
    }
    const { tenant_id, room_id, user_id } = named;
    const ban = change.type === "put" ? this.#read(change.entry.value, key) : undefined;
    if (ban !== undefined && isActive(ban, this.#options.now())) {
      // Also when it does not fit: those who are in are put out all the same.
      this.#hold(tenant_id, room_id, user_id, ban);
      this.#onBan?.({ tenant_id, room_id, user_id, ...ban });
    } else {
      this.#remove(tenant_id, room_id, user_id);
    }
    this.#refill();
  }

  /** Reads a stored ban; one whose value cannot be read has no end. Its key names room and user. */
  #read(value: Uint8Array, key: readonly string[]): HeldBan {
    try {
      const { until_ms, reason, room_id, user_id } = decodeBan(value);
      if (room_id === key[1] && user_id === key[2]) return { until_ms, reason };
      this.#problem("malformed", "a ban stands under another's key", key);
    } catch (error) {
      this.#problem("malformed", error instanceof Error ? error.message : String(error), key);
    }
    return { until_ms: 0, reason: "" };
  }

  #hold(tenant_id: string, room_id: string, user_id: string, ban: HeldBan): void {
    const { bans_max, now, stats } = this.#options;
    const before = this.#tenants.get(tenant_id)?.get(room_id)?.has(user_id) === true;
    if (!before && this.#held >= bans_max) {
      const now_ms = now();
      this.#sweep((held) => isActive(held, now_ms));
      if (this.#held >= bans_max) return this.#miss(tenant_id);
    }
    const rooms = this.#tenants.get(tenant_id) ?? new Map<string, Map<string, HeldBan>>();
    const users = rooms.get(room_id) ?? new Map<string, HeldBan>();
    this.#tenants.set(tenant_id, rooms);
    rooms.set(room_id, users);
    users.set(user_id, ban);
    this.#listing?.bans.add(ban);
    if (!before) stats.bans = ++this.#held;
  }

  #miss(tenant_id: string): void {
    this.#problem("unheld", "a tenant has more bans than fit into [limits] bans", [tenant_id]);
    for (const tenants of [this.#incomplete, this.#listing?.incomplete]) {
      if (tenants === undefined || tenants.has(EVERY_TENANT)) continue;
      const many = tenants.size >= INCOMPLETE_TENANTS_MAX;
      if (many) tenants.clear();
      tenants.add(many ? EVERY_TENANT : tenant_id);
    }
  }

  #remove(tenant_id: string, room_id: string, user_id: string): void {
    const rooms = this.#tenants.get(tenant_id);
    const users = rooms?.get(room_id);
    if (rooms === undefined || users === undefined || !users.delete(user_id)) return;
    if (users.size === 0) rooms.delete(room_id);
    if (rooms.size === 0) this.#tenants.delete(tenant_id);
    this.#options.stats.bans = --this.#held;
  }

  /** Looks for the bans that did not fit once there is space; till then their tenants stay out. */
  #refill(): void {
    if (this.#incomplete.size === 0 || this.#listing !== undefined || !this.#known) return;
    if (this.#held <= this.#options.bans_max * REFILL_AT) this.#list();
  }

  #sweep(keep: (ban: HeldBan) => boolean): void {
    for (const [tenant_id, rooms] of this.#tenants) {
      for (const [room_id, users] of rooms) {
        for (const [user_id, ban] of users) {
          if (!keep(ban) && users.delete(user_id)) this.#held--;
        }
        if (users.size === 0) rooms.delete(room_id);
      }
      if (rooms.size === 0) this.#tenants.delete(tenant_id);
    }
    this.#options.stats.bans = this.#held;
  }

  #problem(what: "malformed" | "unheld", text: string, key: readonly string[]): void {
    const { stats, log } = this.#options;
    bump(stats.ban_problems, what);
    log.error(text, { bucket: BANS_BUCKET, key: JSON.stringify(key).slice(0, 300) });
  }
}
