/**
 * The Overseer's metrics, under the contract's names. The label `module` is the policy's name, which tenants choose.
 * Names beyond a limit count as "other".
 */
import { type Registry, scraped } from "../../../shared/metrics/metrics.ts";
import {
  PlainHistogram,
  registerPlainHistogram,
  registerPlainHistograms,
} from "../../../shared/metrics/metrics_plain.ts";
import type { PlainLabels } from "../../../shared/metrics/metrics_plain.ts";
import type { PolicyOutcome } from "../../../shared/records/verdict.ts";

/** The most policy names with their own series. */
const NAMES = 256;
const OTHER = "other";
const EXECUTION_SECONDS = [
  ...[0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5],
  ...[0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1],
];
const CHAIN_RATIOS = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1];

interface Series {
  readonly duration: PlainHistogram;
  fuel: number;
  instances: number;
  instance_fuel: number;
  /** Counts by reason. */
  readonly verdicts: Readonly<Record<VerdictName, Map<string, number>>>;
}

type VerdictName = "allowed" | "observed" | "refused";

/** The pool's gauges, read at every scrape. */
interface PolicyGauges {
  readonly pending: () => number;
  /** The number of threads in the pool. */
  readonly workers: () => number;
  readonly slow_tenants: () => number;
  /** The number of modules in quarantine because they wedged or killed a worker somewhere. */
  readonly quarantined: () => number;
  /** The number of remembered senders that made a module fail. */
  readonly senders: () => number;
  /** The number of senders that were forgotten early. */
  readonly senders_dropped: () => number;
}

function newSeries(): Series {
  const verdicts = { allowed: new Map(), observed: new Map(), refused: new Map() };
  const duration = new PlainHistogram(EXECUTION_SECONDS);
  return { duration, fuel: 0, instances: 0, instance_fuel: 0, verdicts };
}

/**
 * The pool's metrics. All are plain numbers, since a label lookup for each outcome would cost more than a policy.
 */
export class PolicyMetrics {
  readonly #known = new Map<string, Series>();
  readonly #execution = new PlainHistogram(EXECUTION_SECONDS);
  readonly #chain = new PlainHistogram(CHAIN_RATIOS);
  readonly #inline = { verdict: 0, again: 0 };
  #busy_ms = 0;
  #late = 0;
  #replaced = 0;

  constructor(registry: Registry, gauges: PolicyGauges) {
    registerPlainHistogram(
      registry,
      "policy_execution_duration",
      "Time from a chain's request to its verdict, in seconds.",
      this.#execution,
    );
    registerPlainHistogram(
      registry,
      "shield_policy_chain_used_ratio",
      "Part of policy.chain_fuel_limit that the policies of one operation used together.",
      this.#chain,
    );
    this.#registerOutcomes(registry);
    scraped(registry, {
      "shield_policy_queue_depth": ["Requests that wait for a verdict.", gauges.pending],
      "shield_policy_workers": [
        "Worker threads that run policies; shield_policy_worker_busy_seconds_total shows their usage.",
        gauges.workers,
      ],
      "shield_policy_slow_tenants": [
        "Tenants that share one worker because their chains run long.",
        gauges.slow_tenants,
      ],
      "shield_policy_quarantined_modules": [
        "Modules that no node runs because they wedged or killed a worker.",
        gauges.quarantined,
      ],
      "shield_policy_failing_senders": [
        "Senders that are remembered because they made a policy fail; each further fault slows them.",
        gauges.senders,
      ],
      "shield_policy_failing_senders_dropped_total": [
        "Such senders that were forgotten early because there were too many.",
        gauges.senders_dropped,
      ],
      "shield_policy_late_verdicts_total": [
        "Verdicts that came later than policy.timeout_ms and were used.",
        () => this.#late,
      ],
      "shield_policy_workers_replaced_total": [
        "Policy workers that were replaced because they made no progress or died.",
        () => this.#replaced,
      ],
      "shield_policy_worker_busy_seconds_total": [
        "Seconds that all policy workers together ran policies.",
        () => this.#busy_ms / 1_000,
      ],
      "shield_policy_inline_total": [
        "Chains on the Shield's own thread, by result: with a verdict, or run again by a worker.",
        "result",
        () => this.#inline,
      ],
    });
  }

  /** Counts one policy of a chain that has run, or could not run. */
  readonly outcome = (outcome: PolicyOutcome): void => {
    const series = this.#known.get(outcome.name) ?? this.#seriesOf(outcome.name);
    // A policy that did not run would only lower the histogram.
    if (outcome.duration_ms > 0) series.duration.observe(outcome.duration_ms / 1_000);
    series.fuel += outcome.fuel;
    if (outcome.instance_fuel > 0) series.instances++;
    series.instance_fuel += outcome.instance_fuel;
    const by_reason = series.verdicts[verdictOf(outcome)];
    const reason = outcome.fault ?? (outcome.allowed ? "none" : "policy");
    by_reason.set(reason, (by_reason.get(reason) ?? 0) + 1);
  };

  /** Observes the time until a chain's verdict. */
  verdict(duration_ms: number): void {
    this.#execution.observe(duration_ms / 1_000);
  }

  /** Observes the part of its budget that a chain used, instances included. */
  chain(used_ratio: number): void {
    this.#chain.observe(used_ratio);
  }

  /** Counts a verdict that came after `timeout_ms` and was used. */
  late(): void {
    this.#late++;
  }

  /** Counts a chain on this thread: with a verdict, or passed `again` to a worker. */
  ranInline(result: "verdict" | "again"): void {
    this.#inline[result]++;
  }

  replaced(): void {
    this.#replaced++;
  }

  /** Observes a worker's time for one chain, whatever its outcome. */
  busy(duration_ms: number): void {
    this.#busy_ms += duration_ms;
  }

  #seriesOf(name: string): Series {
    const module = this.#known.size < NAMES ? name : OTHER;
    return this.#known.getOrInsertComputed(module, newSeries);
  }

  #registerOutcomes(registry: Registry): void {
    const known = this.#known;
    const by_module = (value: (series: Series) => number) => () =>
      [...known].map(([module, series]) => [{ module }, value(series)] as const);
    registerPlainHistograms(
      registry,
      "shield_wasm_execution_duration_seconds",
      "Time in one policy, in seconds.",
      () => durations(known),
    );
    scraped(registry, {
      "shield_wasm_fuel_consumed_total": [
        "Fuel used by policies.",
        ["module"],
        by_module(({ fuel }) => fuel),
      ],
      "shield_policy_instances_total": [
        "Instances made of policies; a policy that traps needs a new one each time.",
        ["module"],
        by_module(({ instances }) => instances),
      ],
      "shield_policy_instance_fuel_total": [
        "Fuel for making instances, which tenants pay besides the fuel of policies.",
        ["module"],
        by_module(({ instance_fuel }) => instance_fuel),
      ],
      "shield_policy_verdicts_total": [
        "Verdicts of policies; an observing policy's refusal is `observed`.",
        ["module", "verdict", "reason"],
        () => verdictCounts(known),
      ],
    });
  }
}

function* durations(known: ReadonlyMap<string, Series>): Generator<[PlainLabels, PlainHistogram]> {
  for (const [module, { duration }] of known) {
    if (duration.count > 0) yield [{ module }, duration];
  }
}

function* verdictCounts(known: ReadonlyMap<string, Series>): Generator<[PlainLabels, number]> {
  for (const [module, { verdicts }] of known) {
    for (const [verdict, by_reason] of Object.entries(verdicts)) {
      for (const [reason, total] of by_reason) yield [{ module, verdict, reason }, total];
    }
  }
}

function verdictOf({ allowed, mode }: PolicyOutcome): VerdictName {
  if (allowed) return "allowed";
  return mode === "observe" ? "observed" : "refused";
}
