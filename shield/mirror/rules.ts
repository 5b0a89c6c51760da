/**
 * The mirror rule of a subject, and whether it selects a message. Compiles rules of the config and those of tenants. A
 * tenant's table is swapped in one assignment, so no message sees a partial change. `mirror.ts` has the sources of
 * rules.
 */
import type { MirrorRule } from "../../shared/config/schema_governance.ts";
import { samplingHash, samplingThreshold } from "../../shared/sampling.ts";
import {
  compareSpecificity,
  compilingPatterns,
  moreSpecific,
  type PatternTable,
} from "../../shared/subjects/subject_pattern.ts";
import { makeAtOnce, type Making } from "../../shared/turns/making.ts";
import type { RuleTotals } from "./stats.ts";

/** A rule and where it comes from. */
interface EffectiveRule extends MirrorRule {
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

/** The rules of one source. */
export interface RuleTable {
  readonly table: PatternTable<CompiledRule>;
  readonly rules: readonly CompiledRule[];
}

/** All rules of this process. */
export class MirrorRules {
  readonly #totalsOf: (prefix: string) => RuleTotals;
  #config: RuleTable;
  readonly #tenants = new Map<string, RuleTable>();

  /**
   * Compiles the config's rules. `totalsOf` returns the counters of a rule. Throws TypeError for a prefix that is not a
   * pattern.
   */
  constructor(rules: readonly MirrorRule[], totalsOf: (prefix: string) => RuleTotals) {
    this.#totalsOf = totalsOf;
    this.#config = makeAtOnce(this.compiling(rules));
  }

  /** Compiles rules of one source: the config's for `replace`, or a tenant's own. Throws as the constructor does. */
  *compiling(rules: readonly MirrorRule[], tenant_id?: string): Making<RuleTable> {
    const compiled: CompiledRule[] = [];
    for (const rule of rules) yield void compiled.push(this.#compile(rule, tenant_id));
    const entries = compiled.map((rule) => [rule.prefix, rule] as const);
    return { table: yield* compilingPatterns(entries), rules: compiled };
  }

  replace(config: RuleTable): void {
    this.#config = config;
  }

  /** Replaces a tenant's own rules. Throws TypeError for a prefix that is not a pattern, and then changes nothing. */
  setTenant(tenant_id: string, rules: readonly MirrorRule[]): void {
    if (rules.length === 0) return void this.#tenants.delete(tenant_id);
    this.#tenants.set(tenant_id, makeAtOnce(this.compiling(rules, tenant_id)));
  }

  /** The rule that applies to the subject, which must belong to that tenant. */
  match(subject: string, tenant_id: string): CompiledRule | undefined {
    const own = this.#tenants.size === 0 ? undefined : this.#tenants.get(tenant_id);
    const { table } = this.#config;
    if (own === undefined && table.size === 0) return undefined;
    return moreSpecific(table.match(subject), own?.table.match(subject))?.value;
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
    const config = this.#config.table.all(subject).filter(({ pattern }) => !overruled.has(pattern));
    return [...own, ...config].sort(compareSpecificity).map(({ value }) => effective(value));
  }

  get size(): number {
    let size = this.#config.rules.length;
    for (const { rules } of this.#tenants.values()) size += rules.length;
    return size;
  }

  /** All rules: first the config's, then the tenants'. */
  list(): EffectiveRule[] {
    const own = [...this.#tenants.values()].flatMap(({ rules }) => rules);
    return [...this.#config.rules, ...own].map(effective);
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

function effective({ prefix, percent, source, tenant_id }: CompiledRule): EffectiveRule {
  return { prefix, percent, source, tenant_id };
}
