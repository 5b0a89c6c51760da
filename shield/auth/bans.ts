/**
 * The active bans, all in memory, by user. They refuse operations; `removals.ts` closes open connections,
 * `shared/spine/watched_bucket.ts` follows the bucket.
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
import { ClockSteps } from "../../shared/clock_steps.ts";
import type { Env } from "../../shared/env.ts";
import type { HealthCheck } from "../../shared/listeners/ops.ts";
import type { KeyValue, KvEntry, Spine } from "../../shared/spine/contract/spine.ts";
import { WatchedBucket } from "../../shared/spine/watched_bucket.ts";
import { type ArrivedBan, type BanPlace, BanTable, type HeldBan, type Who } from "./ban_table.ts";
import { bump, type ShieldStats } from "../stats/stats.ts";

/** The dependencies and settings of `Bans`. */
export interface BansOptions extends Pick<Env, "log" | "now" | "monotonic_ms"> {
  readonly bucket: KeyValue;
  readonly spine: Pick<Spine, "status" | "onEvent">;
  readonly stats: Pick<ShieldStats, "bans" | "ban_problems">;
  /** The most bans of all tenants in memory: `limits.bans`. */
  readonly bans_max: number;
}

/** The check of an operation before it takes effect. */
export interface BanCheck {
  /** Throws `banned` (closes) or `room-banned` if the user may do nothing in that room. */
  requireRoom(who: Who, room_id: string): void;
}

/** A check that refuses no one, for tools and tests. */
export const NO_BANS: BanCheck = { requireRoom: () => {} };

/** ` until 2026-01-02T03:04:05.000Z: spam`, without the missing parts. */
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
 * The bans of all tenants in the bucket. A ban matches the user id within its tenant, whichever issuer signed the
 * token: if two issuers of one tenant both have an `ann`, a ban of `ann` covers both (fail closed: a banned user must
 * not return through another issuer).
 *
 * The bucket's content is only known from the end of a listing until the connection to the Spine is lost. In between
 * new clients are rejected; present ones continue under the known bans.
 */
export class Bans implements BanCheck {
  readonly #options: BansOptions;
  readonly #table: BanTable;
  readonly #watched: WatchedBucket<BanPlace, HeldBan>;
  #onBan: ((ban: ArrivedBan) => void) | undefined;

  constructor(options: BansOptions) {
    this.#options = options;
    const { bucket, spine, stats, log, now, monotonic_ms, bans_max } = options;
    this.#table = new BanTable(stats, now, bans_max);
    this.#watched = new WatchedBucket({
      entry: "ban",
      name: BANS_BUCKET,
      bucket,
      spine,
      log,
      now,
      steps: new ClockSteps({ now, monotonic_ms }),
      max: bans_max,
      reader: {
        parseKey: parseBanKey,
        read,
        unreadable: () => ({ until_ms: 0, reason: "" }),
        endOf: ({ until_ms }) => until_ms,
      },
      table: this.#table,
      // Also for a ban beyond the limit: its connected clients are closed all the same.
      onPut: (place, ban) => isActive(ban, now()) && this.#onBan?.({ ...place, ...ban }),
      onProblem: (problem) => bump(stats.ban_problems, problem),
    });
  }

  /** Resolves when all bans are known for the first time; rejects if it is closed earlier. */
  get ready(): Promise<void> {
    return this.#watched.ready;
  }

  /** Starts to watch; `onBan` is called for each active ban, also for a known one. */
  start(onBan: (ban: ArrivedBan) => void): void {
    this.#onBan = onBan;
    this.#watched.start();
  }

  requireRoom(who: Who, room_id: string): void {
    // The room itself, and the room that it belongs to.
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

  /** The active bans in memory, of one tenant or of all, unordered. */
  list(tenant_id?: string): Iterable<ArrivedBan> {
    return this.#table.list(tenant_id);
  }

  /** Whether the tenant, or any, may have more bans than are in memory. */
  isIncomplete(tenant_id?: string): boolean {
    return this.#watched.isIncomplete(tenant_id);
  }

  /** Whether this ban is in memory, or the tenant may have one more: of its `most`, and of what tenants share. */
  hasRoom(place: BanPlace, most: number): boolean {
    if (this.#table.get(place) !== undefined) return true;
    const { tenant_id } = place;
    if (!this.#table.hasRoom(tenant_id, most)) this.#watched.dropOver();
    return this.#table.hasRoom(tenant_id, most);
  }

  /** Adds a stored ban that the watch will report, too; it is active when the method returns. */
  take(entry: KvEntry): void {
    this.#watched.take(entry);
  }

  check(): HealthCheck {
    return this.#watched.check();
  }

  close(): void {
    this.#watched.close();
  }
}

function read({ value }: KvEntry, place: BanPlace): HeldBan {
  const { until_ms, reason, room_id, user_id } = decodeBan(value);
  if (room_id !== place.room_id || user_id !== place.user_id) {
    throw new TypeError("a ban has the key of another one");
  }
  return { until_ms, reason };
}
