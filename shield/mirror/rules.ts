/**
 * The mirror rule of a subject, and whether it selects a message. Compiles rules of the config and those of tenants. A
 * tenant's table is swapped in one assignment, so no message sees a partial change. `start.ts` has the sources of
 * rules.
 */
import type { MirrorRule } from "../../shared/config/schema_governance.ts";
import { samplingHash, samplingThreshold } from "../../shared/sampling.ts";
import { compareSpecificity, compilePatterns } from "../../shared/subjects/subject_pattern.ts";
import type { PatternMatch, PatternTable } from "../../shared/subjects/subject_pattern.ts";
import type { RuleTotals } from "./stats.ts";

/** A rule and where it comes from. */
export interface EffectiveRule extends MirrorRule {
  readonly source: "config" | "tenant";
  /** The tenant of a tenant's own rule; undefined for a rule of the config. */
  readonly tenant_id: string | undefined;
}

/** A compiled rule for the message path. */
export interface CompiledRule extends EffectiveRule {
  /** A message is selected if its key's hash is below this. */
  readonly threshold: bigint;
  readonly totals: RuleTotals;
}

type Table = PatternTable<CompiledRule>;
type Match = PatternMatch<CompiledRule> | undefined;

/** The more specific of two matches; with the same pattern, the tenant's own. */
function better(config: Match, tenant: Match): Match {
  if (config === undefined || tenant === undefined) return tenant ?? config;
  return compareSpecificity(config, tenant) < 0 ? config : tenant;
}

/** All rules of this process. */
export class MirrorRules {
  readonly #totalsOf: (prefix: string) => RuleTotals;
  #config: Table;
  #config_rules: readonly CompiledRule[];
  readonly #tenants = new Map<string, { table: Table; rules: readonly CompiledRule[] }>();

  /**
   * Compiles the config's rules. `totalsOf` returns the counters of a rule. Throws TypeError for a prefix that is not a
   * pattern.
   */
  constructor(rules: readonly MirrorRule[], totalsOf: (prefix: string) => RuleTotals) {
    this.#totalsOf = totalsOf;
    this.#config_rules = rules.map((rule) => this.#compile(rule, undefined));
    this.#config = tableOf(this.#config_rules);
  }

  /** Replaces the config's rules. Throws as the constructor does, and then changes nothing. */
  setConfig(rules: readonly MirrorRule[]): void {
    const compiled = rules.map((rule) => this.#compile(rule, undefined));
    this.#config = tableOf(compiled);
    this.#config_rules = compiled;
  }

  /** Replaces a tenant's own rules. Throws TypeError for a prefix that is not a pattern, and then changes nothing. */
  setTenant(tenant_id: string, rules: readonly MirrorRule[]): void {
    if (rules.length === 0) return void this.#tenants.delete(tenant_id);
    const compiled = rules.map((rule) => this.#compile(rule, tenant_id));
    this.#tenants.set(tenant_id, { table: tableOf(compiled), rules: compiled });
  }

  /** The rule that applies to the subject, which must belong to that tenant. */
  match(subject: string, tenant_id: string): CompiledRule | undefined {
    const own = this.#tenants.size === 0 ? undefined : this.#tenants.get(tenant_id);
    if (own === undefined && this.#config.size === 0) return undefined;
    return better(this.#config.match(subject), own?.table.match(subject))?.value;
  }

  /** Whether the rule selects messages with that key. */
  picks({ percent, threshold }: CompiledRule, key: string): boolean {
    if (percent === 1) return true;
    return percent !== 0 && samplingHash(key) < threshold;
  }

  /** Every rule that matches the subject; the first one applies. */
  explain(subject: string, tenant_id: string): EffectiveRule[] {
    const own = this.#tenants.get(tenant_id)?.table.all(subject) ?? [];
    const overruled = new Set(own.map(({ pattern }) => pattern));
    const config = this.#config.all(subject).filter(({ pattern }) => !overruled.has(pattern));
    return [...own, ...config].sort(compareSpecificity).map(({ value }) => effective(value));
  }

  /** The number of rules. */
  get size(): number {
    let size = this.#config_rules.length;
    for (const { rules } of this.#tenants.values()) size += rules.length;
    return size;
  }

  /** All rules: first the config's, then the tenants'. */
  list(): EffectiveRule[] {
    const own = [...this.#tenants.values()].flatMap(({ rules }) => rules);
    return [...this.#config_rules, ...own].map(effective);
  }

  #compile({ prefix, percent }: MirrorRule, tenant_id: string | undefined): CompiledRule {
    return {
      prefix,
      percent,
      source: tenant_id === undefined ? "config" : "tenant",
      tenant_id,
      threshold: samplingThreshold(percent),
      totals: this.#totalsOf(prefix),
    };
  }
}

function tableOf(rules: readonly CompiledRule[]): Table {
  return compilePatterns(rules.map((rule) => [rule.prefix, rule] as const));
}

function effective({ prefix, percent, source, tenant_id }: CompiledRule): EffectiveRule {
  return { prefix, percent, source, tenant_id };
}
