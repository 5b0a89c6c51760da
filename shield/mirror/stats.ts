/**
 * The mirror's counters: plain numbers by rule, which prom-client reads at a scrape. A rule's prefix is a label, so the
 * number of labels is limited: later rules share `other`.
 */
import { type Registry, scrapedGauge } from "../../shared/metrics/metrics.ts";
import { scrapedCounters, scrapedFamily } from "../../shared/metrics/metrics_plain.ts";
import type { DiffOutcome } from "./diff.ts";

/** The most prefixes with their own totals. */
export const RULES_MAX = 256;
const OTHER = "other";

/** Running totals of one rule. */
export interface RuleTotals {
  /** Copies that the Spine has. */
  published: number;
  /** Messages that the percentage did not select. */
  sampled_out: number;
  /** Copies that exceeded the buffer's limits. */
  dropped: number;
  /** Copies that the Spine refused, or may have lost. */
  failed: number;
}

interface MirrorLevels {
  readonly messages: number;
  readonly bytes: number;
  readonly rules: number;
  readonly candidates: number;
}

type VerdictOutcome = DiffOutcome | "malformed";

const OUTCOMES = [
  ["published", "published"],
  ["sampled_out", "sampled-out"],
  ["dropped", "dropped"],
  ["failed", "failed"],
] as const;

const LEVELS: Record<keyof MirrorLevels, [name: string, help: string]> = {
  messages: ["shield_mirror_buffered_messages", "Copies that wait to be sent."],
  bytes: ["shield_mirror_buffered_bytes", "Bytes of the copies that wait to be sent."],
  rules: ["shield_mirror_rules", "Mirror rules in force, of the config and of all tenants."],
  candidates: ["shield_mirror_candidates", "Candidates whose verdicts are compared."],
};

/** The mirror's totals. */
export class MirrorStats {
  readonly #rules = new Map<string, RuleTotals>();
  readonly #verdicts: Partial<Record<VerdictOutcome, number>> = {};

  /** The totals of the rule with that prefix; the same object for the same prefix. */
  readonly totalsOf = (prefix: string): RuleTotals => {
    const label = this.#rules.has(prefix) || this.#rules.size < RULES_MAX ? prefix : OTHER;
    const totals = this.#rules.get(label) ??
      { published: 0, sampled_out: 0, dropped: 0, failed: 0 };
    this.#rules.set(label, totals);
    return totals;
  };

  readonly verdict = (outcome: VerdictOutcome): void => {
    this.#verdicts[outcome] = (this.#verdicts[outcome] ?? 0) + 1;
  };

  /** Registers the totals under the documented names. */
  register(registry: Registry, levels: () => MirrorLevels): void {
    const rules = this.#rules;
    const verdicts = this.#verdicts;
    scrapedCounters(
      registry,
      "shield_mirror_traffic_total",
      "Messages that a mirror rule matched, by rule and the outcome of the copy.",
      ["rule", "outcome"],
      function* () {
        for (const [rule, totals] of rules) {
          for (const [key, outcome] of OUTCOMES) yield [{ rule, outcome }, totals[key]];
        }
      },
    );
    scrapedFamily(
      registry,
      "shield_mirror_verdicts_total",
      "Verdicts of candidates on mirrored traffic, compared with production.",
      "outcome",
      () => verdicts,
    );
    for (const [key, [name, help]] of Object.entries(LEVELS)) {
      scrapedGauge(registry, name, help, () => levels()[key as keyof MirrorLevels]);
    }
  }
}
