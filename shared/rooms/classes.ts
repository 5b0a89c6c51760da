/**
 * Finds the class of a room among the classes of the configuration and those set by tenants at run time, in compiled
 * form. A tenant's table is replaced in one assignment, so no message sees a partial change. Other files apply the
 * classes; `start.ts` loads them.
 */
import type { RoomClassEntry, TenantRoomClass } from "../config/schema_durable.ts";
import type { Retention } from "../spine/contract/durable_log.ts";
import { grownRoomOf, recordedRoomOf, reducedRoomOf, valuedRoomOf } from "./reserved.ts";
import { makeAtOnce, type Making } from "../turns/making.ts";
import {
  compileClass,
  DEFAULT_CLASS,
  GROWING_CLASS,
  membersClass,
  reducerClass,
  valuesClass,
} from "./room_class.ts";
import type { OwnedClass, RoomClass } from "./room_class.ts";

/** The classes of one origin, by pattern. */
interface Table {
  readonly classes: readonly OwnedClass[];
  readonly exact: ReadonlyMap<string, OwnedClass>;
  /** The classes by the prefix before `*`. */
  readonly prefixes: ReadonlyMap<string, OwnedClass>;
  /** The lengths of the prefixes in UTF-16 units, the longest first: at most as many as an id is long. */
  readonly lengths: readonly number[];
}

/** The tables that apply to one tenant. */
interface Layers {
  /**
   * The non-empty tables in order of precedence for equal patterns: run time, configuration for the tenant,
   * configuration for all.
   */
  readonly tables: readonly Table[];
  retention: Retention | "none" | undefined;
}

/** The classes of a configuration: those of every tenant, and those of one. */
export interface ConfigTables {
  readonly any: Table;
  readonly own: ReadonlyMap<string, Table>;
}

const NOTHING: Table = tableOf([]);

/** All room classes of this process. */
export class RoomClasses {
  #any: Table = NOTHING;
  #config: ReadonlyMap<string, Table> = new Map();
  readonly #runtime = new Map<string, Table>();
  /** The classes of tenants that have their own, as far as they were asked for. */
  readonly #layers = new Map<string, Layers>();
  #others: Layers = layersOf([]);
  /** The last room that was asked for, and its class: the path of one message asks several times. */
  #last_tenant_id: string | undefined;
  #last_room_id = "";
  #last: RoomClass = DEFAULT_CLASS;
  readonly #listeners = new Set<(tenant_id: string | undefined) => void>();

  constructor(config: readonly RoomClassEntry[]) {
    this.replace(makeAtOnce(this.compiling(config)));
  }

  /** Whether some class of the config is durable. */
  get has_durable(): boolean {
    const config = [this.#any, ...this.#config.values()];
    return config.some(({ classes }) =>
      classes.some(({ durable, membership }) => durable || membership !== "off")
    );
  }

  replace({ any, own }: ConfigTables): void {
    this.#any = any;
    this.#config = own;
    this.#others = layersOf([any]);
    this.#layers.clear();
    this.#last_tenant_id = undefined;
    for (const listener of this.#listeners) listener(undefined);
  }

  /** Compiles classes of a config for `replace`. Classes that did not change stay the same objects. */
  *compiling(config: readonly RoomClassEntry[]): Making<ConfigTables> {
    const known = new Map<string, OwnedClass>();
    for (const { classes } of [this.#any, ...this.#config.values()]) {
      for (const one of classes) yield void known.set(JSON.stringify(one), one);
    }
    const by_tenant = new Map<string, OwnedClass[]>();
    for (const entry of config) {
      const compiled = compileClass(entry, entry.tenant, "config");
      const one = known.get(JSON.stringify(compiled)) ?? compiled;
      const list = by_tenant.get(one.tenant);
      if (list === undefined) by_tenant.set(one.tenant, [one]);
      else list.push(one);
      yield;
    }
    const own = new Map<string, Table>();
    for (const [tenant_id, classes] of by_tenant) yield void own.set(tenant_id, tableOf(classes));
    const any = own.get("*") ?? NOTHING;
    own.delete("*");
    return { any, own };
  }

  /** Replaces a tenant's own classes. Classes that did not change stay the same objects. */
  setTenant(tenant_id: string, classes: readonly TenantRoomClass[]): void {
    const before = this.#runtime.get(tenant_id) ?? NOTHING;
    const known = new Map(before.classes.map((one) => [JSON.stringify(one), one]));
    const compiled = classes.map((entry) => {
      const one = compileClass(entry, tenant_id, "tenant");
      return known.get(JSON.stringify(one)) ?? one;
    });
    const table = tableOf(compiled);
    if (isSame(table, before)) return;
    if (table.classes.length === 0) this.#runtime.delete(tenant_id);
    else this.#runtime.set(tenant_id, table);
    this.#layers.delete(tenant_id);
    this.#last_tenant_id = undefined;
    for (const listener of this.#listeners) listener(tenant_id);
  }

  /** The classes that the tenant would have with these own classes. */
  withTenant(tenant_id: string, classes: readonly TenantRoomClass[]): RoomClasses {
    const other = new RoomClasses([]);
    other.#any = this.#any;
    other.#others = this.#others;
    const config = this.#config.get(tenant_id);
    if (config !== undefined) other.#config = new Map([[tenant_id, config]]);
    // Those that stay the same are the same objects.
    other.#runtime.set(tenant_id, this.#runtime.get(tenant_id) ?? NOTHING);
    other.setTenant(tenant_id, classes);
    return other;
  }

  /** The class of a room, in time proportional to the length of its id. The same object for the same class. */
  of(tenant_id: string, room_id: string): RoomClass {
    if (room_id === this.#last_room_id && tenant_id === this.#last_tenant_id) return this.#last;
    this.#last_tenant_id = tenant_id;
    this.#last_room_id = room_id;
    return this.#last = room_id.includes("~")
      ? this.#companion(tenant_id, room_id)
      : this.#of(tenant_id, room_id);
  }

  /** The class of a room whose name may be reserved. */
  #companion(tenant_id: string, room_id: string): RoomClass {
    if (grownRoomOf(room_id) !== undefined) return GROWING_CLASS;
    const reduced = reducedRoomOf(room_id);
    if (reduced !== undefined) {
      const one = this.#of(tenant_id, reduced);
      return one.reducer === undefined ? this.#of(tenant_id, room_id) : reducerClass(one);
    }
    const valued = valuedRoomOf(room_id);
    if (valued !== undefined) {
      const one = this.#of(tenant_id, valued);
      return one.reducer_visible.length === 0 ? this.#of(tenant_id, room_id) : valuesClass(one);
    }
    const recorded = recordedRoomOf(room_id);
    if (recorded === undefined) return this.#of(tenant_id, room_id);
    const one = this.#of(tenant_id, recorded);
    return one.membership === "off" ? this.#of(tenant_id, room_id) : membersClass(one);
  }

  #of(tenant_id: string, room_id: string): OwnedClass {
    const is_common = this.#config.size === 0 && this.#runtime.size === 0;
    const layers = is_common ? this.#others : this.#layersOf(tenant_id);
    const { tables } = layers;
    if (tables.length === 0) return DEFAULT_CLASS;
    for (const { exact } of tables) {
      const found = exact.get(room_id);
      if (found !== undefined) return found;
    }
    let best: OwnedClass | undefined;
    let best_units = -1;
    for (const { lengths, prefixes } of tables) {
      for (const units of lengths) {
        // With equal length, the earlier table wins.
        if (units <= best_units) break;
        if (units > room_id.length) continue;
        const found = prefixes.get(room_id.slice(0, units));
        if (found === undefined) continue;
        best = found;
        best_units = units;
        break;
      }
    }
    return best ?? DEFAULT_CLASS;
  }

  /**
   * The largest retention of all durable classes that may apply to the tenant's rooms; undefined if none is durable.
   */
  retentionOf(tenant_id: string): Retention | undefined {
    return retentionIn(this.#layersOf(tenant_id));
  }

  /** The retention of the tenant's log, with a default for tenants without their own classes. */
  logRetentionOf(tenant_id: string): Retention | undefined {
    const retention = this.retentionOf(tenant_id);
    const common = retentionIn(this.#others);
    return retention && common ? { ...retention, common } : retention;
  }

  /** Whether a room may have a journal of members. */
  get has_membership(): boolean {
    return this.list().some(({ membership }) => membership !== "off");
  }

  /** Every class that matches the room; the first applies, the last is the default. */
  explain(tenant_id: string, room_id: string): OwnedClass[] {
    if (grownRoomOf(room_id) !== undefined) return [GROWING_CLASS];
    const reduced = reducedRoomOf(room_id);
    if (reduced !== undefined) {
      const [one = DEFAULT_CLASS, ...others] = this.explain(tenant_id, reduced);
      if (one.reducer !== undefined) return [reducerClass(one), ...others];
    }
    const valued = valuedRoomOf(room_id);
    if (valued !== undefined) {
      const [one = DEFAULT_CLASS, ...others] = this.explain(tenant_id, valued);
      if (one.reducer_visible.length > 0) return [valuesClass(one), ...others];
    }
    const recorded = recordedRoomOf(room_id);
    if (recorded !== undefined) {
      const [one = DEFAULT_CLASS, ...others] = this.explain(tenant_id, recorded);
      if (one.membership !== "off") return [membersClass(one), ...others];
    }
    const classes = this.#layersOf(tenant_id).tables.flatMap((table) => table.classes);
    const matching = classes.filter(({ pattern }) => isAbout(pattern, room_id));
    // Sorting is stable: with the same pattern, the earlier table's class comes first.
    matching.sort((a, b) => rank(b.pattern) - rank(a.pattern));
    return [...matching, DEFAULT_CLASS];
  }

  /** All classes except the default: first the configuration's, then the tenants'. */
  list(): OwnedClass[] {
    const tables = [this.#any, ...this.#config.values(), ...this.#runtime.values()];
    return tables.flatMap(({ classes }) => classes);
  }

  /** How many classes there are of each source, without the default. */
  get sizes(): { readonly config: number; readonly tenant: number } {
    const config = [this.#any, ...this.#config.values()];
    return { config: countOf(config), tenant: countOf(this.#runtime.values()) };
  }

  /** How many classes there are, without the default. */
  get size(): number {
    const { config, tenant } = this.sizes;
    return config + tenant;
  }

  /**
   * Calls the listener after each change of a tenant's classes, or of the config's, which may be about
   * every tenant (undefined), until the returned function is called. The listener must not throw.
   */
  onChange(listener: (tenant_id: string | undefined) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #layersOf(tenant_id: string): Layers {
    const known = this.#layers.get(tenant_id);
    if (known !== undefined) return known;
    const runtime = this.#runtime.get(tenant_id);
    const config = this.#config.get(tenant_id);
    if (runtime === undefined && config === undefined) return this.#others;
    const layers = layersOf([runtime ?? NOTHING, config ?? NOTHING, this.#any]);
    this.#layers.set(tenant_id, layers);
    return layers;
  }
}

/** Computed once. */
function retentionIn(layers: Layers): Retention | undefined {
  layers.retention ??= largest(inForce(layers)) ?? "none";
  return layers.retention === "none" ? undefined : layers.retention;
}

function layersOf(tables: readonly Table[]): Layers {
  return { tables: tables.filter(({ classes }) => classes.length > 0), retention: undefined };
}

/** Creates a table of classes; of two with the same pattern the later one applies. */
function tableOf(all: readonly OwnedClass[]): Table {
  const by_pattern = new Map(all.map((one) => [one.pattern, one]));
  const exact = new Map<string, OwnedClass>();
  const prefixes = new Map<string, OwnedClass>();
  for (const [pattern, one] of by_pattern) {
    if (pattern.endsWith("*")) prefixes.set(pattern.slice(0, -1), one);
    else exact.set(pattern, one);
  }
  const lengths = [...new Set([...prefixes.keys()].map((prefix) => prefix.length))];
  lengths.sort((a, b) => b - a);
  return { classes: [...by_pattern.values()], exact, prefixes, lengths };
}

function countOf(tables: Iterable<Table>): number {
  let count = 0;
  for (const { classes } of tables) count += classes.length;
  return count;
}

function isSame({ classes: a }: Table, { classes: b }: Table): boolean {
  return a.length === b.length && a.every((one, index) => one === b[index]);
}

function isAbout(pattern: string, room_id: string): boolean {
  return pattern.endsWith("*") ? room_id.startsWith(pattern.slice(0, -1)) : pattern === room_id;
}

/**
 * The rank of a pattern among those that match one room: a longer one is first, and an exact one before a prefix of it.
 */
function rank(pattern: string): number {
  return pattern.endsWith("*") ? pattern.length * 2 - 2 : pattern.length * 2 + 1;
}

/** The effective classes: for each pattern, the first table's. */
function inForce({ tables }: Layers): OwnedClass[] {
  const by_pattern = new Map<string, OwnedClass>();
  for (const { classes } of tables) {
    for (const one of classes) if (!by_pattern.has(one.pattern)) by_pattern.set(one.pattern, one);
  }
  return [...by_pattern.values()];
}

/**
 * The rank of a number of copies. Undefined means three on a cluster: more than one copy, and fewer than three
 * requested ones.
 */
const replicaRank = (replicas: number | undefined) => replicas ?? 2;

function largest(classes: readonly OwnedClass[]): Retention | undefined {
  let most: Retention | undefined;
  const kept = classes.flatMap((one) => [
    one,
    ...(one.membership === "off" ? [] : [membersClass(one)]),
    ...(one.reducer === undefined ? [] : [reducerClass(one)]),
  ]);
  for (const { durable, history_size, history_ttl_seconds, replicas } of kept) {
    if (!durable) continue;
    const before = most ?? { history_size, history_ttl_seconds, replicas };
    most = {
      history_size: Math.max(history_size, before.history_size),
      history_ttl_seconds: Math.max(history_ttl_seconds, before.history_ttl_seconds),
      replicas: replicaRank(replicas) > replicaRank(before.replicas) ? replicas : before.replicas,
    };
  }
  return most;
}
