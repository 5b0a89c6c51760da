/**
 * The Brain's table of all tenants' bans: their number, and which have expired. Writes and lifts bans. The Shields
 * watch the same bucket and enforce bans; a Brain does not.
 */
import { ArqonError } from "@arqon/proto";
import {
  BAN_REASON_UNITS_MAX,
  banKey,
  decodeBan,
  encodeBan,
  EVERY_ROOM,
  isActive,
  parseBanKey,
} from "../../shared/records/bans.ts";
import type { Ban } from "../../shared/records/bans.ts";
import { ClockSteps, QUIET_MS } from "../../shared/clock_steps.ts";
import type { Env } from "../../shared/env.ts";
import { isConflict } from "../../shared/spine/contract/compare_and_set.ts";
import type { KeyValue, KvChange, KvKey, KvWatch } from "../../shared/spine/contract/spine.ts";
import { storeTimeOf } from "../../shared/spine/contract/store_time.ts";
import type { RoomAddress } from "../cluster_view.ts";
import type { BanCommand, UnbanCommand } from "./commands/command.ts";

/** The dependencies of the ban book. */
export interface BanBookOptions extends Pick<Env, "log" | "now" | "monotonic_ms"> {
  readonly bucket: KeyValue;
  readonly bans_per_tenant: number;
}

/** A known ban. */
export interface Standing {
  readonly key: KvKey;
  /** Expiry in Unix ms; 0: never. */
  readonly until_ms: number;
  /** Its revision in the bucket; 0: the write is under way. */
  readonly revision: number;
}

/** How long after its expiry a ban is deleted: clocks differ, and it may still be in force elsewhere. */
const SWEEP_AFTER_MS = 60_000;
const SWEEP_MAX = 256;

/** The bans of all tenants; one per Brain. */
export class BanBook {
  readonly #options: BanBookOptions;
  readonly #steps: ClockSteps;
  readonly #watch: KvWatch;
  /** By tenant, its bans by room and user. */
  readonly #tenants = new Map<string, Map<string, Standing>>();

  constructor(options: BanBookOptions) {
    this.#options = options;
    this.#steps = new ClockSteps(options);
    this.#watch = options.bucket.watch([], (change) => this.#onChange(change));
  }

  /** Resolves when all bans stored at the start are known. */
  get ready(): Promise<void> {
    return this.#watch.ready;
  }

  /** The number of stored bans, including expired ones that are not swept yet. */
  get size(): number {
    let size = 0;
    for (const bans of this.#tenants.values()) size += bans.size;
    return size;
  }

  /** The bans of a tenant, in no order. */
  standing(tenant_id: string): Iterable<Standing> {
    return this.#tenants.get(tenant_id)?.values() ?? [];
  }

  /** The bucket in which the text of a ban is read. */
  get bucket(): Pick<KeyValue, "get"> {
    return this.#options.bucket;
  }

  stop(): void {
    this.#watch.stop();
  }

  /** Stores a ban. Rejects with `ban-limit` (429) if the tenant has reached its limit, or with `spine-unavailable`. */
  async ban(at: RoomAddress, command: BanCommand): Promise<void> {
    const { bucket, bans_per_tenant, now } = this.#options;
    // By a clock of its own that is behind, a ban would be over when it begins.
    const created_ms = await storeTimeOf(bucket, now);
    const room_id = command.scope === "room" ? at.room_id : EVERY_ROOM;
    const key = banKey(at.tenant_id, room_id, command.user_id);
    const bans = this.#tenants.get(at.tenant_id);
    if ((bans?.size ?? 0) >= bans_per_tenant && bans?.has(textOf(key)) !== true) {
      throw new ArqonError("ban-limit", String(bans_per_tenant));
    }
    const ban: Ban = {
      user_id: command.user_id,
      room_id,
      until_ms: command.ttl_ms === undefined ? 0 : created_ms + command.ttl_ms,
      reason: command.reason,
      by: command.from.user_id.slice(0, BAN_REASON_UNITS_MAX),
      created_ms,
    };
    // Counted before the watch delivers it, so that a burst cannot exceed the limit.
    this.#note(key, { key, until_ms: ban.until_ms, revision: 0 });
    try {
      await bucket.put(key, encodeBan(ban));
    } catch (error) {
      this.#forget(key, 0);
      throw error;
    }
  }

  /** Lifts a ban; a missing one is no error. Rejects with `spine-unavailable`. */
  async unban(at: RoomAddress, command: UnbanCommand): Promise<void> {
    const room_id = command.scope === "room" ? at.room_id : EVERY_ROOM;
    await this.#options.bucket.delete(banKey(at.tenant_id, room_id, command.user_id));
  }

  /**
   * Deletes long expired bans of the tenants that `isMine` accepts; returns how many. Deletes none while the clock may
   * be wrong. Rejects as the bucket does.
   */
  async sweep(isMine: (tenant_id: string) => boolean): Promise<number> {
    if (this.#steps.quietMs() < QUIET_MS) return 0;
    const { bucket, now } = this.#options;
    const over_ms = await storeTimeOf(bucket, now) - SWEEP_AFTER_MS;
    const over: Standing[] = [];
    for (const [tenant_id, bans] of this.#tenants) {
      if (!isMine(tenant_id)) continue;
      for (const standing of bans.values()) {
        if (standing.revision > 0 && !isActive(standing, over_ms)) over.push(standing);
      }
    }
    const swept = over.slice(0, SWEEP_MAX).map(async ({ key, revision }) => {
      try {
        await this.#options.bucket.delete(key, revision);
        return 1;
      } catch (error) {
        // Renewed meanwhile: it has not expired.
        if (isConflict(error)) return 0;
        throw error;
      }
    });
    return (await Promise.all(swept)).reduce<number>((sum, one) => sum + one, 0);
  }

  #onChange({ key, value, revision }: KvChange): void {
    if (value === undefined) return this.#forget(key, revision);
    if (parseBanKey(key) === undefined) return;
    try {
      this.#note(key, { key, until_ms: decodeBan(value).until_ms, revision });
    } catch (error) {
      // An unreadable ban counts, and is never swept.
      this.#note(key, { key, until_ms: 0, revision });
      this.#options.log.warn("a stored ban cannot be read", { key: textOf(key), error });
    }
  }

  #note(key: KvKey, standing: Standing): void {
    const [tenant_id = ""] = key;
    const bans = this.#tenants.get(tenant_id) ?? new Map<string, Standing>();
    this.#tenants.set(tenant_id, bans);
    const known = bans.get(textOf(key));
    // The watch delivers changes in order. Revisions may be lower after an older copy of the bucket was restored.
    if (known === undefined || standing.revision > 0) bans.set(textOf(key), standing);
  }

  /** Forgets a ban; with `revision` 0 only if the watch has not delivered it. */
  #forget(key: KvKey, revision: number): void {
    const [tenant_id = ""] = key;
    const bans = this.#tenants.get(tenant_id);
    const known = bans?.get(textOf(key));
    if (bans === undefined || known === undefined) return;
    if (revision === 0 && known.revision > 0) return;
    bans.delete(textOf(key));
    if (bans.size === 0) this.#tenants.delete(tenant_id);
  }
}

/** The room and user of a key as one text; a tab is in no room id. */
function textOf([, room_id = "", user_id = ""]: KvKey): string {
  return `${room_id}\t${user_id}`;
}
