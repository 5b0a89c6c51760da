/**
 * Finds the mapping of a subject among those of the configuration and those set by its tenant at run time. The most
 * specific pattern wins, and of two equal ones the tenant's. Independent of schemas.
 */
import type { SchemaMapping } from "../../shared/config/schema_governance.ts";
import { canMatchBelow, compilePatterns } from "../../shared/subjects/subject_pattern.ts";
import type { PatternTable } from "../../shared/subjects/subject_pattern.ts";

/** A mapping and where it comes from. */
export interface Bound {
  readonly mapping: SchemaMapping;
  readonly source: "config" | "tenant";
}

/** One tenant's table, or a problem if its mappings cannot be used and none were in force before. */
type Table = PatternTable<Bound> | { readonly problem: string };

/** Limits of the tables. */
export interface MappingLimits {
  /** The most run-time mappings of all tenants together. */
  readonly tenant_mappings: number;
}

/** The mappings in force. */
export class Mappings {
  #config: readonly SchemaMapping[];
  readonly #limits: MappingLimits;
  #common: PatternTable<Bound>;
  readonly #tenants = new Map<string, Table>();
  readonly #own = new Map<string, readonly SchemaMapping[]>();
  #count = 0;

  /** Compiles the configuration's mappings. Throws TypeError if one of their subjects is not a pattern. */
  constructor(config: readonly SchemaMapping[], limits: MappingLimits) {
    this.#config = config;
    this.#limits = limits;
    this.#common = compilePatterns(entriesOf(config, "config"));
  }

  /**
   * Replaces the configuration's mappings, for every tenant. Throws as the constructor does, and then
   * changes nothing.
   */
  setConfig(config: readonly SchemaMapping[]): void {
    this.#common = compilePatterns(entriesOf(config, "config"));
    this.#config = config;
    for (const [tenant_id, own] of this.#own) {
      this.#tenants.set(tenant_id, this.#compile(tenant_id, own));
    }
  }

  /** The number of run-time mappings in force. */
  get tenant_mappings(): number {
    return this.#count;
  }

  /** True if no subject of any tenant is mapped. */
  get isEmpty(): boolean {
    return this.#config.length === 0 && this.#tenants.size === 0;
  }

  /**
   * Puts a tenant's mappings in force, all at once. If they cannot be used, returns why, and the former ones stay;
   * without former ones, every subject of the tenant is refused.
   */
  set(tenant_id: string, mappings: readonly SchemaMapping[]): string | undefined {
    const before = this.#own.get(tenant_id);
    const problem = this.#problemOf(before, mappings);
    if (problem === undefined) {
      this.#count += mappings.length - (before?.length ?? 0);
      if (mappings.length === 0) {
        this.#own.delete(tenant_id);
        this.#tenants.delete(tenant_id);
        return undefined;
      }
      this.#own.set(tenant_id, mappings);
      this.#tenants.set(tenant_id, this.#compile(tenant_id, mappings));
    } else if (before === undefined) {
      this.#tenants.set(tenant_id, { problem });
    }
    return problem;
  }

  /** Refuses every subject of a tenant until `set`, since its mappings are unknown. */
  refuse(tenant_id: string, problem: string): void {
    this.#tenants.set(tenant_id, { problem });
  }

  /** The mapping of `in.t.T.r.R` of that tenant, or why it cannot be determined. */
  find(subject: string, tenant_id: string): Bound | { readonly problem: string } | undefined {
    const table = this.#tenants.get(tenant_id) ?? this.#common;
    return "problem" in table ? table : table.match(subject)?.value;
  }

  /** All mappings in force, the configuration's first. */
  *all(): Iterable<SchemaMapping> {
    yield* this.#config;
    for (const mappings of this.#own.values()) yield* mappings;
  }

  /** The messages of a schema that any subjects are mapped to. */
  messagesOf(schema_id: string): ReadonlySet<string> {
    const mapped = new Set<string>();
    for (const one of this.all()) if (one.schema_id === schema_id) mapped.add(one.message);
    return mapped;
  }

  #problemOf(
    before: readonly SchemaMapping[] | undefined,
    mappings: readonly SchemaMapping[],
  ): string | undefined {
    const { tenant_mappings } = this.#limits;
    if (this.#count - (before?.length ?? 0) + mappings.length > tenant_mappings) {
      return `more than ${tenant_mappings} mappings of all tenants (platform.registry)`;
    }
    try {
      compilePatterns(entriesOf(mappings, "tenant"));
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  #compile(tenant_id: string, mappings: readonly SchemaMapping[]): PatternTable<Bound> {
    const own = `in.t.${tenant_id}.`;
    const common = this.#config.filter(({ subject }) => canMatchBelow(subject, own));
    return compilePatterns([...entriesOf(common, "config"), ...entriesOf(mappings, "tenant")]);
  }
}

function entriesOf(
  mappings: readonly SchemaMapping[],
  source: Bound["source"],
): (readonly [string, Bound])[] {
  return mappings.map((mapping) => [mapping.subject, { mapping, source }] as const);
}
