/**
 * Finds the class of a room among the classes of the config and those that tenants set at run time,
 * compiled. A tenant's table is swapped in one assignment, so no message meets half a change. What
 * follows from a class is decided elsewhere; where classes come from is `start.ts`.
 */
import type {
  DeltaForm,
  HttpCache,
  RoomClassEntry,
  SlowReader,
  TenantRoomClass,
} from "../../shared/config/schema_durable.ts";
import type { Retention } from "../../shared/spine/contract/durable_log.ts";

/** The options of a room. One class is one object for as long as it does not change. */
export interface RoomClass {
  /** The room id or prefix pattern; "" for the default class. */
  readonly pattern: string;
  readonly source: "default" | "config" | "tenant";
  readonly durable: boolean;
  /** How many of a room's newest messages are kept. */
  readonly history_size: number;
  readonly history_ttl_seconds: number;
  /** The copies on a NATS cluster; undefined: 3 there, 1 on a single server. */
  readonly replicas: number | undefined;
  /** Whether a new subscriber gets the last message at once. */
  readonly cache_last: boolean;
  /** Whether SUB with presence is allowed. */
  readonly presence: boolean;
  /** What happens to a subscriber that reads too slowly. */
  readonly slow_reader: SlowReader;
  /** The most members of a room; undefined: the config's `members_per_room`. */
  readonly max_members: number | undefined;
  /** Whether publishers hear their own messages. */
  readonly echo: boolean;
  /** Who may keep what the room's stream says over HTTP. */
  readonly http_cache: HttpCache;
  /** What subscribers may hear, in CEL; undefined: everything. */
  readonly filter: string | undefined;
  /** In what form a message goes to those who asked for deltas. */
  readonly delta: DeltaForm;
  /** What is written into the journal; undefined: as `[journal]` says. */
  readonly journal: TenantRoomClass["journal"];
  readonly journal_share: number | undefined;
  readonly journal_ttl_seconds: number | undefined;
  readonly journal_bytes: number | undefined;
  readonly journal_payload: TenantRoomClass["journal_payload"];
}

/** A class and the tenant that it is for. */
export interface OwnedClass extends RoomClass {
  /** The tenant that the class is for; "*" for every tenant. */
  readonly tenant: string;
}

/** The class of rooms that no other class is about. */
export const DEFAULT_CLASS: OwnedClass = Object.freeze({
  tenant: "*",
  pattern: "",
  source: "default",
  durable: false,
  history_size: 1_000,
  history_ttl_seconds: 86_400,
  replicas: undefined,
  cache_last: false,
  presence: true,
  slow_reader: "disconnect",
  max_members: undefined,
  echo: true,
  http_cache: "none",
  filter: undefined,
  delta: "none",
  journal: undefined,
  journal_share: undefined,
  journal_ttl_seconds: undefined,
  journal_bytes: undefined,
  journal_payload: undefined,
});

/** The classes of one origin, by pattern. */
interface Table {
  readonly classes: readonly OwnedClass[];
  readonly exact: ReadonlyMap<string, OwnedClass>;
  /** The classes by what comes before the `*`. */
  readonly prefixes: ReadonlyMap<string, OwnedClass>;
  /**
   * The lengths of the prefixes in UTF-16 units, the longest first: at most as many as an id is long.
   */
  readonly lengths: readonly number[];
}

/** The tables that count for one tenant. */
interface Layers {
  /**
   * The tables without empty ones; the first wins ties: run time, config for the tenant, config for
   * every one.
   */
  readonly tables: readonly Table[];
  retention: Retention | "none" | undefined;
}

const NOTHING: Table = tableOf([]);

/** All room classes of this process. */
export class RoomClasses {
  #any: Table = NOTHING;
  readonly #config = new Map<string, Table>();
  readonly #runtime = new Map<string, Table>();
  /** The classes of tenants that have their own. */
  readonly #layers = new Map<string, Layers>();
  #others: Layers = layersOf([]);
  readonly #listeners = new Set<(tenant_id: string | undefined) => void>();

  constructor(config: readonly RoomClassEntry[]) {
    this.setConfig(config);
  }

  /** Whether some class of the config is durable. */
  get has_durable(): boolean {
    const config = [this.#any, ...this.#config.values()];
    return config.some(({ classes }) => classes.some(({ durable }) => durable));
  }

  /** Replaces the config's classes. Classes that did not change stay the same objects. */
  setConfig(config: readonly RoomClassEntry[]): void {
    const before = [this.#any, ...this.#config.values()].flatMap(({ classes }) => classes);
    const known = new Map(before.map((one) => [JSON.stringify(one), one]));
    const classes = config.map((entry) => {
      const one = compile(entry, entry.tenant, "config");
      return known.get(JSON.stringify(one)) ?? one;
    });
    const by_tenant = Map.groupBy(classes, ({ tenant }) => tenant);
    this.#any = tableOf(by_tenant.get("*") ?? []);
    by_tenant.delete("*");
    this.#others = layersOf([this.#any]);
    this.#config.clear();
    for (const [tenant_id, own] of by_tenant) this.#config.set(tenant_id, tableOf(own));
    this.#layers.clear();
    for (const tenant_id of [...this.#config.keys(), ...this.#runtime.keys()]) {
      this.#layer(tenant_id);
    }
    for (const listener of this.#listeners) listener(undefined);
  }

  /** Replaces a tenant's own classes. Classes that did not change stay the same objects. */
  setTenant(tenant_id: string, classes: readonly TenantRoomClass[]): void {
    const before = this.#runtime.get(tenant_id) ?? NOTHING;
    const known = new Map(before.classes.map((one) => [JSON.stringify(one), one]));
    const compiled = classes.map((entry) => {
      const one = compile(entry, tenant_id, "tenant");
      return known.get(JSON.stringify(one)) ?? one;
    });
    const table = tableOf(compiled);
    if (isSame(table, before)) return;
    if (table.classes.length === 0) this.#runtime.delete(tenant_id);
    else this.#runtime.set(tenant_id, table);
    this.#layer(tenant_id);
    for (const listener of this.#listeners) listener(tenant_id);
  }

  /**
   * The class of a room, found in a time that depends on the length of its id. The same object for the
   * same class.
   */
  of(tenant_id: string, room_id: string): RoomClass {
    const layers = this.#layers.size === 0 ? this.#others : this.#layersOf(tenant_id);
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
   * The largest retention of all durable classes that can apply to one of the tenant's rooms; undefined
   * when none is durable.
   */
  retentionOf(tenant_id: string): Retention | undefined {
    const layers = this.#layersOf(tenant_id);
    layers.retention ??= largest(inForce(layers)) ?? "none";
    return layers.retention === "none" ? undefined : layers.retention;
  }

  /** The retention as `retentionOf` has it, for a tenant without classes of its own. */
  get commonRetention(): Retention | undefined {
    this.#others.retention ??= largest(inForce(this.#others)) ?? "none";
    return this.#others.retention === "none" ? undefined : this.#others.retention;
  }

  /** Every class that is about the room; the first is the one that counts, the last is the default. */
  explain(tenant_id: string, room_id: string): OwnedClass[] {
    const classes = this.#layersOf(tenant_id).tables.flatMap((table) => table.classes);
    const matching = classes.filter(({ pattern }) => isAbout(pattern, room_id));
    // Sorting is stable: with the same pattern, the earlier table's class comes first.
    matching.sort((a, b) => rank(b.pattern) - rank(a.pattern));
    return [...matching, DEFAULT_CLASS];
  }

  /** All classes without the default: first the config's, then those of tenants. */
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
    return this.#layers.get(tenant_id) ?? this.#others;
  }

  #layer(tenant_id: string): void {
    const own = [this.#runtime.get(tenant_id), this.#config.get(tenant_id)];
    const tables = own.filter((table) => table !== undefined);
    if (tables.length === 0) this.#layers.delete(tenant_id);
    else this.#layers.set(tenant_id, layersOf([...tables, this.#any]));
  }
}

function layersOf(tables: readonly Table[]): Layers {
  return { tables: tables.filter(({ classes }) => classes.length > 0), retention: undefined };
}

function compile(
  entry: TenantRoomClass,
  tenant: string,
  source: "config" | "tenant",
): OwnedClass {
  return Object.freeze({
    tenant,
    pattern: entry.room,
    source,
    durable: entry.durable,
    history_size: entry.history_size,
    history_ttl_seconds: entry.history_ttl_seconds,
    replicas: entry.replicas,
    cache_last: entry.cache_last,
    presence: entry.presence,
    slow_reader: entry.slow_reader,
    max_members: entry.max_members,
    echo: entry.echo,
    http_cache: entry.http_cache,
    filter: entry.filter,
    delta: entry.delta,
    journal: entry.journal,
    journal_share: entry.journal_share,
    journal_ttl_seconds: entry.journal_ttl_seconds,
    journal_bytes: entry.journal_bytes,
    journal_payload: entry.journal_payload,
  });
}

/** Makes a table of classes; of two with the same pattern the later counts. */
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
 * The rank of a pattern among those that match one room: the longer counts, and an exact one before a
 * prefix of it.
 */
function rank(pattern: string): number {
  return pattern.endsWith("*") ? pattern.length * 2 - 2 : pattern.length * 2 + 1;
}

/** The classes that can count: for each pattern, that of the first table. */
function inForce({ tables }: Layers): OwnedClass[] {
  const by_pattern = new Map<string, OwnedClass>();
  for (const { classes } of tables) {
    for (const one of classes) if (!by_pattern.has(one.pattern)) by_pattern.set(one.pattern, one);
  }
  return [...by_pattern.values()];
}

/**
 * The rank of a number of copies. Undefined means three where there is a cluster: more than one copy,
 * and fewer than three that are asked for.
 */
const replicaRank = (replicas: number | undefined) => replicas ?? 2;

function largest(classes: readonly OwnedClass[]): Retention | undefined {
  let most: Retention | undefined;
  for (const { durable, history_size, history_ttl_seconds, replicas } of classes) {
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
