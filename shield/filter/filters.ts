/**
 * The filters that subscribers of this process have: one compiled filter for each text of a tenant, and
 * how many different ones a room has. Judges nothing.
 */
import { ArqonError } from "@arqon/proto";
import { scrapedGauge } from "../../shared/metrics/metrics.ts";
import type { Registry } from "../../shared/metrics/metrics.ts";
import { Filter } from "./filter.ts";
import { FilterProgram } from "../../shared/filter/program.ts";
import type { FilterLimits } from "../../shared/filter/program.ts";
import { FilterShares } from "./shares.ts";

/** Bounds, as `[filters]` has them; they are read each time that one is needed. */
export interface FiltersLimits extends FilterLimits {
  readonly filters_per_room: number;
  readonly filters_per_tenant: number;
}

/** What a SUB's filter may name. */
const NAMES = ["type", "sender", "headers", "data"] as const;

interface TenantFilters {
  readonly by_text: Map<string, Held>;
  /** The rooms with filters, and how many subscribers have each. */
  readonly rooms: Map<string, Map<Filter, number>>;
}

interface Held {
  readonly filter: Filter;
  users: number;
}

/** All filters of SUBs. What `hold` takes, `release` gives back. */
export class Filters {
  /** How many different filters there are. */
  size = 0;
  /** What they may take of the process's time. */
  readonly shares: FilterShares;
  readonly #limits: FiltersLimits;
  readonly #tenants = new Map<string, TenantFilters>();

  /** `now_ms`: monotonic. */
  constructor(limits: FiltersLimits, now_ms: () => number = () => performance.now()) {
    this.#limits = limits;
    this.shares = new FilterShares(now_ms);
  }

  /**
   * The filter of a SUB; undefined: it has none. Compiling it is paid of the tenant's share. Throws `invalid-filter`,
   * and `rate-limited` when the share is used up.
   */
  of(tenant_id: string, text: string): Filter | undefined {
    if (text === "") return undefined;
    const held = this.#tenants.get(tenant_id)?.by_text.get(text)?.filter;
    // A bound may have been lowered since.
    if (held !== undefined && text.length <= this.#limits.filter_chars) return held;
    this.shares.require(tenant_id);
    const program = new FilterProgram(text, this.#limits, NAMES);
    this.shares.spend(tenant_id, program.price);
    return new Filter(program);
  }

  /**
   * Throws `too-many-filters` when the room or the tenant may not have one more. `before` is the one that
   * is replaced.
   */
  requireRoom(tenant_id: string, room_id: string, filter: Filter, before?: Filter): void {
    const tenant = this.#tenants.get(tenant_id);
    if (tenant === undefined) return;
    const { filters_per_room, filters_per_tenant } = this.#limits;
    const { by_text, rooms } = tenant;
    const is_freed = before !== undefined && by_text.get(before.program.text)?.users === 1;
    const others = by_text.size - (is_freed ? 1 : 0);
    if (others >= filters_per_tenant && !by_text.has(filter.program.text)) {
      throw new ArqonError("too-many-filters", `the tenant has ${by_text.size} here`);
    }
    const room = rooms.get(room_id);
    if (room === undefined || room.has(filter)) return;
    const kept = room.size - (before !== undefined && room.get(before) === 1 ? 1 : 0);
    if (kept >= filters_per_room) {
      throw new ArqonError("too-many-filters", `${room_id} has ${room.size}`);
    }
  }

  /** Takes note that a subscriber of a room has a filter. */
  hold(tenant_id: string, room_id: string, filter: Filter | undefined): void {
    if (filter === undefined) return;
    const tenant = this.#tenants.get(tenant_id) ?? { by_text: new Map(), rooms: new Map() };
    this.#tenants.set(tenant_id, tenant);
    const { text } = filter.program;
    const held = tenant.by_text.get(text) ?? { filter, users: 0 };
    if (held.users++ === 0) {
      tenant.by_text.set(text, held);
      this.size++;
    }
    const room = tenant.rooms.get(room_id) ?? new Map<Filter, number>();
    tenant.rooms.set(room_id, room);
    room.set(filter, (room.get(filter) ?? 0) + 1);
  }

  /** Takes note that a subscriber has it no longer. */
  release(tenant_id: string, room_id: string, filter: Filter | undefined): void {
    const tenant = this.#tenants.get(tenant_id);
    if (filter === undefined || tenant === undefined) return;
    const { text } = filter.program;
    const held = tenant.by_text.get(text);
    if (held !== undefined && --held.users === 0) {
      tenant.by_text.delete(text);
      this.size--;
    }
    const room = tenant.rooms.get(room_id);
    const users = (room?.get(filter) ?? 0) - 1;
    if (users > 0) room?.set(filter, users);
    else room?.delete(filter);
    if (room?.size === 0) tenant.rooms.delete(room_id);
    if (tenant.by_text.size === 0) this.#tenants.delete(tenant_id);
  }
}

/** Makes the filters of a process, with their metric; and what they may take. */
export function startFilters(limits: FiltersLimits, registry: Registry): [Filters, FilterShares] {
  const filters = new Filters(limits);
  const help = "Different filters that subscribers have on this Shield.";
  scrapedGauge(registry, "shield_filters", help, () => filters.size);
  return [filters, filters.shares];
}
