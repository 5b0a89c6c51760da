/**
 * The bans in force, all in memory, looked up by user. They refuse operations; what a ban does to
 * open connections is `signals.ts`, how they are learnt of `shared/spine/watched_bucket.ts`.
 */
import { reservedRoom } from "../../shared/rooms/reserved.ts";
import { ArqonError } from "@arqon/proto";
import {
  BANS_BUCKET,
  decodeBan,
  EVERY_ROOM,
  isActive,
  parseBanKey,
} from "../../shared/records/bans.ts";
import type { Env } from "../../shared/env.ts";
import type { HealthCheck } from "../../shared/listeners/ops.ts";
import type { KeyValue, KvEntry, Spine } from "../../shared/spine/contract/spine.ts";
import { WatchedBucket } from "../../shared/spine/watched_bucket.ts";
import { BanTable } from "./ban_table.ts";
import type { ArrivedBan, BanPlace, HeldBan, Who } from "./ban_table.ts";
import { bump } from "../stats/stats.ts";
import type { ShieldStats } from "../stats/stats.ts";

/** What the bans need of the process. */
export interface BansOptions extends Pick<Env, "log" | "now"> {
  readonly bucket: KeyValue;
  readonly spine: Pick<Spine, "status" | "onEvent">;
  readonly stats: Pick<ShieldStats, "bans" | "ban_problems">;
  /** Bans of all tenants that are held: `limits.bans`. */
  readonly bans_max: number;
}

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
  readonly #table: BanTable;
  readonly #watched: WatchedBucket<BanPlace, HeldBan>;
  #onBan: ((ban: ArrivedBan) => void) | undefined;

  constructor(options: BansOptions) {
    this.#options = options;
    const { bucket, spine, stats, log, now, bans_max } = options;
    this.#table = new BanTable(stats, now);
    this.#watched = new WatchedBucket({
      entry: "ban",
      name: BANS_BUCKET,
      ...{ bucket, spine, log, now },
      max: bans_max,
      reader: {
        parseKey: parseBanKey,
        read: (entry, place) => this.#read(entry, place),
        unreadable: () => ({ until_ms: 0, reason: "" }),
        endOf: ({ until_ms }) => until_ms,
      },
      table: this.#table,
      // Also when it does not fit: those who are in are put out all the same.
      onPut: (place, ban) => this.#onBan?.({ ...place, ...ban }),
      onProblem: (problem) => bump(stats.ban_problems, problem),
    });
  }

  /** Resolves when all bans are known for the first time; rejects when this is closed before. */
  get ready(): Promise<void> {
    return this.#watched.ready;
  }

  /** Begins to watch; `onBan` learns of each ban in force, also of one that it has heard of. */
  start(onBan: (ban: ArrivedBan) => void): void {
    this.#onBan = onBan;
    this.#watched.start();
  }

  requireRoom(who: Who, room_id: string): void {
    // Of the room itself, and of the one beside which it is.
    for (let room: string | undefined = room_id; room !== undefined;) {
      const ban = this.#table.find(who, room);
      if (ban !== undefined) throw banRefusal(ban.room_id, ban);
      room = reservedRoom(room)?.of;
    }
  }

  /**
   * Checks a user at the upgrade. Throws `banned`, and `spine-unavailable` while the tenant's bans
   * are not all known.
   */
  requireEntry(who: Who): void {
    this.#watched.requireKnown();
    this.requireRoom(who, EVERY_ROOM);
    this.#watched.requireComplete(who.tenant_id);
  }

  /** The bans in force that are held, of one tenant or of all, in no order. */
  list(tenant_id?: string): Iterable<ArrivedBan> {
    return this.#table.list(tenant_id);
  }

  /** Whether the tenant, or any, may have more bans than are held. */
  isIncomplete(tenant_id?: string): boolean {
    return this.#watched.isIncomplete(tenant_id);
  }

  /** Whether this ban is held, or one more of the tenant can be, which may have so many. */
  hasRoom(place: BanPlace, most: number): boolean {
    if (this.#table.get(place) !== undefined) return true;
    const { bans_max } = this.#options;
    const room = () => this.#table.size < bans_max && this.#table.countOf(place.tenant_id) < most;
    if (room()) return true;
    this.#watched.dropOver();
    return room();
  }

  /** Takes up a stored ban that the watch will tell, too; it is in force when this returns. */
  take(entry: KvEntry): void {
    this.#watched.take(entry);
  }

  check(): HealthCheck {
    return this.#watched.check();
  }

  close(): void {
    this.#watched.close();
  }

  /** Reads a stored ban; one that is over is not held: a Brain deletes it. */
  #read({ value }: KvEntry, place: BanPlace): HeldBan | undefined {
    const { until_ms, reason, room_id, user_id } = decodeBan(value);
    if (room_id !== place.room_id || user_id !== place.user_id) {
      throw new TypeError("a ban stands under another's key");
    }
    return isActive({ until_ms }, this.#options.now()) ? { until_ms, reason } : undefined;
  }
}
