/**
 * Finds the mapping of a subject among those of the configuration and those set by its tenant at run time. The most
 * specific pattern wins, and of two equal ones the tenant's. Independent of schemas.
 */
import type { SchemaMapping } from "../../shared/config/schema_governance.ts";
import {
  compilePatterns,
  compilingPatterns,
  moreSpecific,
  type PatternTable,
} from "../../shared/subjects/subject_pattern.ts";
import { makeAtOnce, type Making } from "../../shared/turns/making.ts";

/** A mapping and where it comes from. */
export interface Bound {
  readonly mapping: SchemaMapping;
  readonly source: "config" | "tenant";
}

/** The configuration's mappings, compiled. */
export interface ConfigMappings {
  readonly mappings: readonly SchemaMapping[];
  readonly table: PatternTable<Bound>;
}

/** One tenant's own table, or a problem if its mappings cannot be used and none were in force before. */
type Table = PatternTable<Bound> | { readonly problem: string };

interface MappingLimits {
  /** The most run-time mappings of all tenants together. */
  readonly tenant_mappings: number;
}

/** The mappings in force. */
export class Mappings {
  #config: ConfigMappings;
  readonly #limits: MappingLimits;
  readonly #tenants = new Map<string, Table>();
  readonly #own = new Map<string, readonly SchemaMapping[]>();
  #count = 0;

  /** Compiles the configuration's mappings. Throws TypeError if one of their subjects is not a pattern. */
  constructor(config: readonly SchemaMapping[], limits: MappingLimits) {
    this.#config = makeAtOnce(this.compiling(config));
    this.#limits = limits;
  }

  /** Compiles the configuration's mappings for `replace`. Throws as the constructor does. */
  *compiling(mappings: readonly SchemaMapping[]): Making<ConfigMappings> {
    return { mappings, table: yield* compilingPatterns(entriesOf(mappings, "config")) };
  }

  /** Replaces the configuration's mappings, for every tenant. */
  replace(config: ConfigMappings): void {
    this.#config = config;
  }

  /** The number of run-time mappings in force. */
  get tenant_mappings(): number {
    return this.#count;
  }

  /** True if no subject of any tenant is mapped. */
  get isEmpty(): boolean {
    return this.#config.mappings.length === 0 && this.#tenants.size === 0;
  }

  /**
   * Puts a tenant's mappings in force, all at once. If they cannot be used, returns why, and the former ones stay;
   * without former ones, every subject of the tenant is refused.
   */
  set(tenant_id: string, mappings: readonly SchemaMapping[]): string | undefined {
    const before = this.#own.get(tenant_id);
    const table = this.#tableOf(before, mappings);
    if ("problem" in table) {
      if (before === undefined) this.#tenants.set(tenant_id, table);
      return table.problem;
    }
    this.#count += mappings.length - (before?.length ?? 0);
    if (mappings.length === 0) {
      this.#own.delete(tenant_id);
      this.#tenants.delete(tenant_id);
    } else {
      this.#own.set(tenant_id, mappings);
      this.#tenants.set(tenant_id, table);
    }
    return undefined;
  }

  /** Whether the tenant's mappings are these. */
  has(tenant_id: string, mappings: readonly SchemaMapping[]): boolean {
    const own = this.#tenants.get(tenant_id);
    if (own !== undefined && "problem" in own) return false;
    return JSON.stringify(this.#own.get(tenant_id) ?? []) === JSON.stringify(mappings);
  }

  /** Refuses every subject of a tenant until `set`, since its mappings are unknown. */
  refuse(tenant_id: string, problem: string): void {
    this.#tenants.set(tenant_id, { problem });
  }

  /** The mapping of `in.t.T.r.R` of that tenant, or why it cannot be determined. */
  find(subject: string, tenant_id: string): Bound | { readonly problem: string } | undefined {
    const own = this.#tenants.get(tenant_id);
    if (own !== undefined && "problem" in own) return own;
    return moreSpecific(this.#config.table.match(subject), own?.match(subject))?.value;
  }

  /** All mappings in force, the configuration's first. */
  *all(): Iterable<SchemaMapping> {
    yield* this.#config.mappings;
    for (const mappings of this.#own.values()) yield* mappings;
  }

  messagesOf(schema_id: string): ReadonlySet<string> {
    const mapped = new Set<string>();
    for (const one of this.all()) if (one.schema_id === schema_id) mapped.add(one.message);
    return mapped;
  }

  #tableOf(
    before: readonly SchemaMapping[] | undefined,
    mappings: readonly SchemaMapping[],
  ): Table {
    const { tenant_mappings } = this.#limits;
    if (this.#count - (before?.length ?? 0) + mappings.length > tenant_mappings) {
      return {
        problem: `more than ${tenant_mappings} mappings of all tenants (platform.registry)`,
      };
    }
    try {
      return compilePatterns(entriesOf(mappings, "tenant"));
    } catch (error) {
      return { problem: error instanceof Error ? error.message : String(error) };
    }
  }
}

function entriesOf(
  mappings: readonly SchemaMapping[],
  source: Bound["source"],
): (readonly [string, Bound])[] {
  return mappings.map((mapping) => [mapping.subject, { mapping, source }] as const);
}
