/** Bans in memory, by tenant, room and user. It has no bucket or clock of its own; `bans.ts` fills it. */
import { EVERY_ROOM, isActive } from "../../shared/records/bans.ts";
import type { EntryTable } from "../../shared/spine/watched_bucket.ts";
import { FairBound } from "../../shared/turns/fair_bound.ts";
import type { Identity } from "./identity.ts";
import type { ShieldStats } from "../stats/stats.ts";

/** The parts of a ban that a refusal needs. */
export interface HeldBan {
  /** Unix ms; 0: without end. */
  readonly until_ms: number;
  readonly reason: string;
}

/** The scope of a ban: a user in a room or, with `EVERY_ROOM`, in the tenant. */
export interface BanPlace {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly user_id: string;
}

/** The ban of one user in one room, or in the tenant. */
export interface ArrivedBan extends HeldBan, BanPlace {}

/** The parts of an identity that a ban can match. */
export type Who = Pick<Identity, "tenant_id" | "user_id">;

type Users = Map<string, HeldBan>;

/** The bans of all tenants; a lookup costs the same, however many there are. */
export class BanTable implements EntryTable<BanPlace, HeldBan> {
  /** Tenant, then room or `EVERY_ROOM`, then user. */
  readonly #tenants = new Map<string, Map<string, Users>>();
  readonly #stats: Pick<ShieldStats, "bans">;
  readonly #now: () => number;
  readonly #counts: FairBound;

  /** `now`: Unix ms; `bans_max`: the bans that tenants share. */
  constructor(stats: Pick<ShieldStats, "bans">, now: () => number, bans_max: number) {
    this.#stats = stats;
    this.#now = now;
    this.#counts = new FairBound(bans_max);
  }

  get size(): number {
    return this.#counts.total;
  }

  /** The active ban of a user in a room: the tenant's, otherwise the room's own. */
  find({ tenant_id, user_id }: Who, room_id: string): ArrivedBan | undefined {
    if (this.size === 0) return undefined;
    const rooms = this.#tenants.get(tenant_id);
    if (rooms === undefined) return undefined;
    const everywhere = this.#inForce(rooms.get(EVERY_ROOM)?.get(user_id));
    if (everywhere !== undefined) return { tenant_id, room_id: EVERY_ROOM, user_id, ...everywhere };
    const here = this.#inForce(rooms.get(room_id)?.get(user_id));
    return here === undefined ? undefined : { tenant_id, room_id, user_id, ...here };
  }

  get({ tenant_id, room_id, user_id }: BanPlace): HeldBan | undefined {
    return this.#tenants.get(tenant_id)?.get(room_id)?.get(user_id);
  }

  set({ tenant_id, room_id, user_id }: BanPlace, ban: HeldBan): void {
    const rooms = this.#tenants.get(tenant_id) ?? new Map<string, Users>();
    const users = rooms.get(room_id) ?? new Map<string, HeldBan>();
    this.#tenants.set(tenant_id, rooms);
    rooms.set(room_id, users);
    if (!users.has(user_id)) this.#count(tenant_id, 1);
    users.set(user_id, ban);
  }

  delete({ tenant_id, room_id, user_id }: BanPlace): void {
    const rooms = this.#tenants.get(tenant_id);
    const users = rooms?.get(room_id);
    if (rooms === undefined || users === undefined || !users.delete(user_id)) return;
    if (users.size === 0) rooms.delete(room_id);
    if (rooms.size === 0) this.#tenants.delete(tenant_id);
    this.#count(tenant_id, -1);
  }

  keep(wanted: (ban: HeldBan) => boolean): void {
    for (const [tenant_id, rooms] of this.#tenants) {
      for (const [room_id, users] of rooms) {
        for (const [user_id, ban] of users) {
          if (!wanted(ban) && users.delete(user_id)) this.#count(tenant_id, -1);
        }
        if (users.size === 0) rooms.delete(room_id);
      }
      if (rooms.size === 0) this.#tenants.delete(tenant_id);
    }
  }

  /** Whether the tenant, which may have `most`, may have one more beside the others. */
  hasRoom(tenant_id: string, most: number): boolean {
    return this.#counts.of(tenant_id) < most && this.#counts.hasRoom(tenant_id);
  }

  /** The active bans, of one tenant or of all, unordered. */
  *list(tenant_id?: string): Iterable<ArrivedBan> {
    const now_ms = this.#now();
    for (const [tenant, rooms] of this.#tenants) {
      if (tenant_id !== undefined && tenant !== tenant_id) continue;
      for (const [room_id, users] of rooms) {
        for (const [user_id, ban] of users) {
          if (isActive(ban, now_ms)) yield { tenant_id: tenant, room_id, user_id, ...ban };
        }
      }
    }
  }

  #inForce(ban: HeldBan | undefined): HeldBan | undefined {
    return ban !== undefined && isActive(ban, this.#now()) ? ban : undefined;
  }

  #count(tenant_id: string, by: number): void {
    this.#counts.add(tenant_id, by);
    this.#stats.bans = this.size;
  }
}
