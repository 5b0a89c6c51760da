/**
 * The subscribers' filters in this process: one compiled filter for each text of a tenant, and the number of different
 * filters in a room. It judges no messages.
 */
import { scraped } from "../../shared/metrics/metrics.ts";
import { ArqonError } from "@arqon/proto";
import type { DescMessage } from "@bufbuild/protobuf";
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import type { Registry } from "../../shared/metrics/metrics.ts";
import type { Identity } from "../auth/identity.ts";
import type { FilteredRoom, Filters as AskedFilters } from "../fanout/filters.ts";
import type { Outgoing } from "../fanout/room_message.ts";
import { fieldProblem } from "../schema/validation/message_schema.ts";
import { classFilter, Filter } from "./filter.ts";
import { type JudgeOptions, mappedReader, MissedMessages, SentMessage } from "./judges.ts";
import type { ReadMapped } from "../../shared/filter/message_view.ts";
import { FilterProgram } from "../../shared/filter/program.ts";
import type { FilterLimits } from "../../shared/filter/program.ts";
import type { RoomClass } from "../../shared/rooms/room_class.ts";
import { roomSubject } from "../../shared/subjects/subject.ts";
import { FilterShares } from "./shares.ts";

/** Limits, as in `[filters]`; read at each use. */
export interface FiltersLimits extends FilterLimits {
  readonly filters_per_room: number;
  readonly filters_per_tenant: number;
}

/** Compiled filters that no subscriber has yet; beyond it the oldest is compiled again. */
const UNHELD_MAX = 64;
const NAMES = ["type", "sender", "headers", "data"] as const;

interface TenantFilters {
  readonly by_text: Map<string, Held>;
  readonly rooms: Map<string, Map<Filter, number>>;
}

interface Held {
  readonly filter: Filter;
  users: number;
}

/** All filters of a process. */
export class Filters implements AskedFilters {
  size = 0;
  /** Messages withheld, once per subscriber; and verdicts, once for all subscribers with the same filter. */
  readonly stats = {
    filtered: 0,
    filter_verdicts: { match: 0, no_match: 0, error: 0, cost: 0 },
  };
  /** The shares of the process's time for filters. */
  readonly shares: FilterShares;
  readonly #limits: FiltersLimits;
  readonly #tenants = new Map<string, TenantFilters>();
  /** By tenant and text: of SUBs that policies judge or that wait for a log, and of reads. */
  readonly #unheld = new BoundedMap<string, Filter>(UNHELD_MAX);
  /** What is wrong with a filter for a schema's events, "" if nothing: a parser finds it, and each SUB asks for it. */
  readonly #problems = new WeakMap<Filter, WeakMap<DescMessage, string>>();
  readonly #options: JudgeOptions;

  /** `now_ms`: monotonic. */
  constructor(
    limits: FiltersLimits,
    options: Omit<JudgeOptions, "stats"> = {},
    now_ms: () => number = () => performance.now(),
  ) {
    this.#limits = limits;
    this.#options = { ...options, stats: this.stats };
    this.shares = new FilterShares(now_ms);
  }

  /** The filter of a text; the tenant's share pays for compiling. */
  of(tenant_id: string, text: string, room_id?: string): Filter | undefined {
    if (text === "") return undefined;
    const filter = this.#compiled(tenant_id, text);
    if (room_id !== undefined) this.#requireFields(tenant_id, room_id, filter);
    return filter;
  }

  #compiled(tenant_id: string, text: string): Filter {
    const key = `${tenant_id} ${text}`;
    const known = this.#tenants.get(tenant_id)?.by_text.get(text)?.filter ?? this.#unheld.use(key);
    // The limit may have been lowered since.
    if (known !== undefined && text.length <= this.#limits.filter_chars) return known;
    this.shares.require(tenant_id);
    const pay = (steps: number) => this.shares.spend(tenant_id, steps);
    const filter = new Filter(new FilterProgram(text, this.#limits, NAMES, pay));
    this.#unheld.set(key, filter);
    return filter;
  }

  /** Throws `invalid-filter` if the room's events have a schema without a field in the filter. */
  #requireFields(tenant_id: string, room_id: string, filter: Filter): void {
    const { schemas } = this.#options;
    if (schemas === undefined || schemas.isEmpty) return;
    const schema = schemas.schemaOf(roomSubject("in", tenant_id, room_id), tenant_id);
    if (typeof schema === "string") return;
    const { desc } = schema;
    const problem = this.#problems.getOrInsertComputed(filter, () => new WeakMap())
      .getOrInsertComputed(desc, () => fieldProblem(filter.text, desc) ?? "");
    if (problem !== "") throw new ArqonError("invalid-filter", problem);
  }

  ofClass(room_class: RoomClass | undefined, identity: Identity): Filter | undefined {
    const pay = (steps: number) => this.shares.spend(identity.tenant_id, steps);
    return classFilter(room_class, pay)?.of(identity);
  }

  /** Decodes the data of a room's events; undefined: no schema is mapped. */
  mapped(tenant_id: string, room_id: string): ReadMapped | undefined {
    return mappedReader(this.#options, tenant_id, room_id);
  }

  sent(room: FilteredRoom, outgoing: Outgoing): SentMessage {
    return new SentMessage(this.#options, this.shares, room, outgoing);
  }

  missed(tenant_id: string, room_id: string): MissedMessages {
    return new MissedMessages(this.#options, this.shares, tenant_id, room_id);
  }

  requireRoom(tenant_id: string, room_id: string, filter: Filter, before?: Filter): void {
    const tenant = this.#tenants.get(tenant_id);
    if (tenant === undefined) return;
    const { filters_per_room, filters_per_tenant } = this.#limits;
    const { by_text, rooms } = tenant;
    const is_freed = before !== undefined && by_text.get(before.program.text)?.users === 1;
    const others = by_text.size - (is_freed ? 1 : 0);
    if (others >= filters_per_tenant && !by_text.has(filter.program.text)) {
      throw new ArqonError("too-many-filters", `the tenant has ${by_text.size} on this Shield`);
    }
    const room = rooms.get(room_id);
    if (room === undefined || room.has(filter)) return;
    const kept = room.size - (before !== undefined && room.get(before) === 1 ? 1 : 0);
    if (kept >= filters_per_room) {
      throw new ArqonError("too-many-filters", `${room_id} has ${room.size}`);
    }
  }

  hold(tenant_id: string, room_id: string, filter: Filter | undefined): void {
    if (filter === undefined) return;
    const tenant = this.#tenants.get(tenant_id) ?? { by_text: new Map(), rooms: new Map() };
    this.#tenants.set(tenant_id, tenant);
    const { text } = filter.program;
    this.#unheld.delete(`${tenant_id} ${text}`);
    const held = tenant.by_text.get(text) ?? { filter, users: 0 };
    if (held.users++ === 0) {
      tenant.by_text.set(text, held);
      this.size++;
    }
    const room = tenant.rooms.get(room_id) ?? new Map<Filter, number>();
    tenant.rooms.set(room_id, room);
    room.set(filter, (room.get(filter) ?? 0) + 1);
  }

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

/** Makes the filters of a process, with their metrics. */
export function startFilters(
  limits: FiltersLimits,
  registry: Registry,
  options: Omit<JudgeOptions, "stats">,
): Filters {
  const filters = new Filters(limits, options);
  const { stats } = filters;
  const help = "Different filters that subscribers have on this Shield.";
  scraped(registry, {
    "shield_filters": [help, () => filters.size],
    "shield_filtered_messages_total": [
      "Messages that a filter withheld from a subscriber, once per subscriber.",
      () => stats.filtered,
    ],
    "shield_filter_verdicts_total": [
      "Messages judged by filters, once for all subscribers with the same one.",
      "verdict",
      () => stats.filter_verdicts,
    ],
  });
  return filters;
}
