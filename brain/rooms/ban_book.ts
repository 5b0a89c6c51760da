/**
 * The bans of all tenants as the Brain needs them: how many there are, which are over. Writes and
 * lifts them. The Shields watch the same bucket and act on it; nobody here is shut out.
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
} from "../../shared/bans.ts";
import type { Ban } from "../../shared/bans.ts";
import type { Logger } from "../../shared/log.ts";
import type { KeyValue, KvChange, KvKey, KvWatch } from "../../shared/spine/spine.ts";
import type { BanCommand, RoomAddress, UnbanCommand } from "./command.ts";

/** What the book needs. */
export interface BanBookOptions {
  /** `ARQON_BANS`. */
  readonly bucket: KeyValue;
  readonly bans_per_tenant: number;
  /** Unix ms. */
  readonly now: () => number;
  readonly log: Logger;
}

/** A ban as the book knows it. */
export interface Standing {
  readonly key: KvKey;
  /** Unix ms; 0: without end. */
  readonly until_ms: number;
  /** 0: on its way into the bucket. */
  readonly revision: number;
}

/** Clocks differ: a ban that is over here may still stand elsewhere. */
const SWEEP_AFTER_MS = 60_000;
/** Deletions of one sweep. */
const SWEEP_MAX = 256;

/** One per Brain. */
export class BanBook {
  readonly #options: BanBookOptions;
  readonly #watch: KvWatch;
  /** Tenant to what stands, by room and user. */
  readonly #tenants = new Map<string, Map<string, Standing>>();

  constructor(options: BanBookOptions) {
    this.#options = options;
    this.#watch = options.bucket.watch([], (change) => this.#onChange(change));
  }

  /** Resolves when all bans that stood at the start are known. */
  get ready(): Promise<void> {
    return this.#watch.ready;
  }

  /** Bans that stand, also those that are over and not yet swept. */
  get size(): number {
    let size = 0;
    for (const bans of this.#tenants.values()) size += bans.size;
    return size;
  }

  /** A tenant's, in no order. */
  standing(tenant_id: string): Iterable<Standing> {
    return this.#tenants.get(tenant_id)?.values() ?? [];
  }

  /** Where what they say is read. */
  get bucket(): Pick<KeyValue, "get"> {
    return this.#options.bucket;
  }

  stop(): void {
    this.#watch.stop();
  }

  /** Rejects with `ban-limit` (429) when the tenant may have no further one, or `spine-unavailable`. */
  async ban(at: RoomAddress, command: BanCommand): Promise<void> {
    const { bucket, bans_per_tenant, now } = this.#options;
    const room_id = command.scope === "room" ? at.room_id : EVERY_ROOM;
    const key = banKey(at.tenant_id, room_id, command.user_id);
    const bans = this.#tenants.get(at.tenant_id);
    if ((bans?.size ?? 0) >= bans_per_tenant && bans?.has(textOf(key)) !== true) {
      throw new ArqonError("ban-limit", String(bans_per_tenant));
    }
    const created_ms = now();
    const ban: Ban = {
      user_id: command.user_id,
      room_id,
      until_ms: command.ttl_ms === undefined ? 0 : created_ms + command.ttl_ms,
      reason: command.reason,
      by: command.from.user_id.slice(0, BAN_REASON_UNITS_MAX),
      created_ms,
    };
    // Counted before the watch tells it, so that a burst cannot pass the limit together.
    this.#note(key, { key, until_ms: ban.until_ms, revision: 0 });
    try {
      await bucket.put(key, encodeBan(ban));
    } catch (error) {
      this.#forget(key, 0);
      throw error;
    }
  }

  /** Rejects with `spine-unavailable`. Lifting what does not stand is fine. */
  async unban(at: RoomAddress, command: UnbanCommand): Promise<void> {
    const room_id = command.scope === "room" ? at.room_id : EVERY_ROOM;
    await this.#options.bucket.delete(banKey(at.tenant_id, room_id, command.user_id));
  }

  /** Deletes bans of those tenants that are long over; returns how many. Rejects as the bucket does. */
  async sweep(isMine: (tenant_id: string) => boolean): Promise<number> {
    const over_ms = this.#options.now() - SWEEP_AFTER_MS;
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
        // Renewed meanwhile: then it is not over.
        if (error instanceof ArqonError && error.reason === "version-conflict") return 0;
        throw error;
      }
    });
    return (await Promise.all(swept)).reduce<number>((sum, one) => sum + one, 0);
  }

  #onChange(change: KvChange): void {
    if (change.type === "delete") return this.#forget(change.key, change.revision);
    const { key, value, revision } = change.entry;
    if (parseBanKey(key) === undefined) return;
    try {
      this.#note(key, { key, until_ms: decodeBan(value).until_ms, revision });
    } catch (error) {
      // It counts, and nobody sweeps what cannot be read.
      this.#note(key, { key, until_ms: 0, revision });
      this.#options.log.warn("a stored ban cannot be read", { key: textOf(key), error });
    }
  }

  #note(key: KvKey, standing: Standing): void {
    const [tenant_id = ""] = key;
    const bans = this.#tenants.get(tenant_id) ?? new Map<string, Standing>();
    this.#tenants.set(tenant_id, bans);
    const known = bans.get(textOf(key));
    if (known === undefined || standing.revision > known.revision) {
      bans.set(textOf(key), standing);
    }
  }

  /** Drops what was known at or before `revision`. */
  #forget(key: KvKey, revision: number): void {
    const [tenant_id = ""] = key;
    const bans = this.#tenants.get(tenant_id);
    const known = bans?.get(textOf(key));
    if (bans === undefined || known === undefined || known.revision > revision) return;
    bans.delete(textOf(key));
    if (bans.size === 0) this.#tenants.delete(tenant_id);
  }
}

/** Room and user of a key as one text; a tab is in no room id. */
function textOf([, room_id = "", user_id = ""]: KvKey): string {
  return `${room_id}\t${user_id}`;
}
