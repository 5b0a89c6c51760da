/**
 * The counts of the schema check. The message path adds to plain numbers; prom-client reads them at
 * a scrape. Labels are bounded: schemas by the configuration, rules and tenants here.
 */
import { type Registry, scraped } from "../../shared/metrics/metrics.ts";
import { sharedFiles } from "../../shared/schema/descriptors/shared_files.ts";
import type { RefusedPut } from "./registry/adoption.ts";
import type { WorkingSet } from "./registry/working_set.ts";

/** The most label values of one schema; rules of protovalidate may have any names. */
const RULES_MAX = 64;
const SCHEMAS_MAX = 1_000;
/** The label of everything that has no series of its own. */
const OTHER = "other";

/** The figures of the gauges, read at every scrape. */
export interface SchemaFigures {
  /** Seconds since the registry confirmed each schema that was ever loaded, by id. */
  readonly ages_seconds: Iterable<readonly [schema_id: string, seconds: number]>;
  readonly schemas: number;
  /** Mapped messages by the version that serves them. */
  readonly messages: Readonly<Record<"current" | "outdated" | "missing", number>>;
  readonly tenant_mappings: number;
  readonly packed_bytes: number;
  readonly working: Pick<WorkingSet, "size" | "heap_bytes" | "totals">;
  /** Refused puts of other tools that nothing has replaced since. */
  readonly refused: readonly RefusedPut[];
}

/** Running totals since the start of the process. */
export class SchemaTotals {
  /** Lookups in the cache. `hit`: in force and confirmed. `miss`: never loaded. */
  readonly cache = { hit: 0, stale: 0, miss: 0 };
  readonly loads = { loaded: 0, unchanged: 0, absent: 0, invalid: 0, failed: 0 };
  /** Copies of refused messages. */
  readonly dead_letters = { sent: 0, full: 0, failed: 0 };
  readonly puts = { registered: 0, refused: 0, restored: 0 };
  readonly tenants = new TopTenants();
  readonly violations = new Map<string, Map<string, number>>();
  readonly unknown_fields = new Map<string, number>();

  violated(schema_id: string, rule: string): void {
    const schema = labelOf(this.violations, schema_id, SCHEMAS_MAX);
    const rules = this.violations.getOrInsertComputed(schema, () => new Map());
    const label = labelOf(rules, rule, RULES_MAX);
    rules.set(label, (rules.get(label) ?? 0) + 1);
  }

  /** Counts fields outside a schema whose mapping only warns. */
  unknown(schema_id: string, fields: number): void {
    const schema = labelOf(this.unknown_fields, schema_id, SCHEMAS_MAX);
    this.unknown_fields.set(schema, (this.unknown_fields.get(schema) ?? 0) + fields);
  }
}

function labelOf(known: ReadonlyMap<string, unknown>, name: string, max: number): string {
  return known.has(name) || known.size < max ? name : OTHER;
}

/** Registers the metrics, and returns the totals behind them. */
export function registerSchemaMetrics(
  registry: Registry,
  figures: () => SchemaFigures,
): SchemaTotals {
  const totals = new SchemaTotals();
  registerCounters(registry, totals);
  registerFigures(registry, figures);
  return totals;
}

function registerCounters(registry: Registry, totals: SchemaTotals): void {
  scraped(registry, {
    "shield_schema_violation_total": [
      "Events that violate the schema of their subject, by schema and first rule.",
      ["schema", "rule"],
      () =>
        [...totals.violations].flatMap(([schema, rules]) =>
          [...rules].map(([rule, value]) => [{ schema, rule }, value] as const)
        ),
    ],
    "shield_schema_violation_tenant_total": [
      "Events that violate their schema, by tenant: those with the most by name, all others together.",
      ["tenant"],
      () => [...totals.tenants.rows()].map(([tenant, value]) => [{ tenant }, value] as const),
    ],
    "shield_schema_unknown_fields_total": [
      "Fields outside the schema in events of mappings that warn of them.",
      ["schema"],
      () => [...totals.unknown_fields].map(([schema, value]) => [{ schema }, value] as const),
    ],
    "shield_schema_cache_total": [
      "Events of mapped subjects by cache result: hit, stale (not confirmed), miss (refused).",
      "outcome",
      () => totals.cache,
    ],
    "shield_schema_loads_total": [
      "Reads of the schema registry, by outcome.",
      "outcome",
      () => totals.loads,
    ],
    "shield_schema_dead_letters_total": [
      "Copies of refused events for dlq subjects, by outcome.",
      "outcome",
      () => totals.dead_letters,
    ],
    "shield_schema_puts_total": [
      "Changes by other tools in the bucket of schemas, by the outcome that this process was first to decide.",
      "outcome",
      () => totals.puts,
    ],
  });
}

function registerFigures(registry: Registry, figures: () => SchemaFigures): void {
  scraped(registry, {
    "shield_schema_cache_age_seconds": [
      "Seconds since the registry confirmed the version of a schema that is in force.",
      ["schema"],
      () => [...figures().ages_seconds].map(([schema, seconds]) => [{ schema }, seconds] as const),
    ],
    "shield_schema_cache_messages": [
      "Mapped messages: current, outdated (the newest version is unusable), or missing.",
      "state",
      () => figures().messages,
    ],
    "shield_schema_cache_schemas": ["Schemas in memory.", () => figures().schemas],
    "shield_schema_tenant_mappings": [
      "Run-time mappings in force, of all tenants.",
      () => figures().tenant_mappings,
    ],
    "shield_schema_refused": [
      "Keys of the bucket of schemas whose last put is refused; the last known good serves.",
      () => figures().refused.length,
    ],
    "shield_schema_compiled_bytes": [
      "Estimated memory of compiled schemas.",
      () => figures().working.heap_bytes,
    ],
    "shield_schema_compiled_messages": [
      "Mapped messages that are compiled; the others are evicted.",
      () => figures().working.size,
    ],
    "shield_schema_packed_bytes": [
      "Gzipped descriptor sets in memory.",
      () => figures().packed_bytes,
    ],
    "shield_schema_shared_files": [
      "Files of the Protobuf compiler and protovalidate that all schemas share.",
      () => sharedFiles().files,
    ],
    "shield_schema_put_away_total": [
      "Compiled messages that were evicted for others.",
      () => figures().working.totals.put_away,
    ],
    "shield_schema_restores_total": [
      "Events whose message was evicted: restored, or refused as too many others were being restored.",
      "outcome",
      () => {
        const { restored, refused } = figures().working.totals;
        return { restored, refused };
      },
    ],
  });
}

// Counts by tenant with a bounded number of names: the tenants that count most have a series of
// their own, all others share one. Every series only grows while it lives, and their sum is always
// right.

/** The most tenants with a series of their own. */
export const NAMED_TENANTS = 50;
/** The most tenants without a series whose counts are remembered; beyond that, all of these are cleared. */
const CONTENDERS_MAX = 1_000;

/** A tenant with its own series. */
interface Named {
  /** The value of its series: counted since it has one. */
  count: number;
  /** Its whole count, by which it keeps its series. */
  weight: number;
}

/** The counts of all tenants. */
export class TopTenants {
  readonly #named = new Map<string, Named>();
  /** The weights of tenants without a series. */
  readonly #contenders = new Map<string, number>();
  #other = 0;

  /** Counts one more for that tenant. */
  add(tenant_id: string): void {
    const named = this.#named.get(tenant_id);
    if (named !== undefined) {
      named.count++;
      named.weight++;
    } else if (this.#named.size < NAMED_TENANTS) {
      this.#named.set(tenant_id, { count: 1, weight: 1 });
    } else this.#contend(tenant_id);
  }

  /** Every series: a tenant or `other`, and its count. */
  *rows(): Iterable<readonly [tenant: string, count: number]> {
    for (const [tenant_id, { count }] of this.#named) yield [tenant_id, count];
    if (this.#other > 0) yield ["other", this.#other];
  }

  #contend(tenant_id: string): void {
    const weight = (this.#contenders.get(tenant_id) ?? 0) + 1;
    const [least] = [...this.#named].sort(([, a], [, b]) => a.weight - b.weight);
    if (least === undefined || least[1].weight >= weight) {
      this.#other++;
      if (this.#contenders.size >= CONTENDERS_MAX) this.#contenders.clear();
      this.#contenders.set(tenant_id, weight);
      return;
    }
    const [id, { count, weight: lost }] = least;
    this.#named.delete(id);
    this.#other += count;
    this.#contenders.delete(tenant_id);
    this.#contenders.set(id, lost);
    // The counts before that stay in `other`: no series ever shrinks.
    this.#named.set(tenant_id, { count: 1, weight });
  }
}
