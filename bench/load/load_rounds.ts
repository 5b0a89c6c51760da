/**
 * Runs a scenario on targets, interleaved: every other round runs in reverse order. A failure of one target is
 * recorded, and the other targets continue. It knows no scenario.
 */
import { UsageError } from "../measure/scenario.ts";
import { median, sumOf } from "../measure/statistics.ts";
import { placement } from "../measure/cores.ts";
import { merged } from "../measure/histogram.ts";
import type { Effort, LoadCase, LoadResults, LoadScenario } from "./load_scenario.ts";
import type { Measurement, Omitted, Row } from "./load_scenario.ts";
import { type RunningTarget, type Target, TargetUnavailable } from "./targets/target.ts";

const textOf = (error: unknown) => error instanceof Error ? error.message : String(error);

function histogramOf(measured: readonly Measurement[]): { histogram?: string } {
  const all = measured.flatMap(({ histogram }) => histogram === undefined ? [] : [histogram]);
  return all.length === 0 ? {} : { histogram: merged(all).encode() };
}

/** The description of a scenario in its rows. */
type Measured = Pick<LoadScenario, "name" | "headline" | "fresh">;

/** Collects measurements by case and target. */
class Collected {
  readonly #measured: (Measurement & { case: string; target: string; version: string })[] = [];
  readonly #omitted: Omitted[] = [];

  add(one: LoadCase, target: Target, version: string, measurement: Measurement): void {
    this.#measured.push({ ...measurement, case: one.name, target: target.id, version });
  }

  omit(one: LoadCase, target: Target, kind: Omitted["kind"], why: string): void {
    this.#omitted.push({ case: one.name, target: target.id, kind, why });
    if (kind !== "cannot") console.error(`${target.id}: ${kind}: ${why}`);
  }

  isOmitted(one: LoadCase, target: Target): boolean {
    return this.#omitted.some((omitted) =>
      omitted.case === one.name && omitted.target === target.id
    );
  }

  #of(name: string, target: string) {
    return this.#measured.filter((one) => one.case === name && one.target === target);
  }

  results(scenario: Measured, cases: readonly LoadCase[], targets: readonly Target[]) {
    const medianOf = (all: readonly Measurement[], key: string) =>
      median(all.map(({ figures }) => figures[key]!));
    const rows = cases.flatMap((one) =>
      targets.flatMap(({ id, title }): Row[] => {
        const measured = this.#of(one.name, id);
        if (measured.length === 0) return [];
        const headline = measured.map(({ figures }) => figures[scenario.headline]!);
        const limit = medianOf(this.#of(one.beside ?? one.name, "bun"), scenario.headline);
        const keys = Object.keys(measured[0]!.figures);
        return [{
          scenario: scenario.name,
          case: one.name,
          target: id,
          title,
          version: measured.at(-1)!.version,
          medians: Object.fromEntries(keys.map((key) => [key, medianOf(measured, key)])),
          least: Math.min(...headline),
          most: Math.max(...headline),
          ratio: median(headline) / limit,
          missing: sumOf(measured, "missing"),
          problems: measured.flatMap(({ problems }) => problems).slice(0, 5),
          rounds: measured.map(({ figures }) => figures),
          ...histogramOf(measured),
        }];
      })
    );
    return { rows, omitted: this.#omitted };
  }
}

/** Runs a measurement; records a failure for these cases. */
async function tried<T>(
  collected: Collected,
  cases: readonly LoadCase[],
  target: Target,
  act: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const kind = error instanceof TargetUnavailable ? "not here" : "failed";
    for (const one of cases) collected.omit(one, target, kind, textOf(error));
    return undefined;
  }
}

const able = ({ abilities }: Target, { needs }: LoadCase) =>
  needs.every((need) => abilities.has(need));

const startFor = (target: Target, { tls = false, tenants = 1 }: LoadCase) =>
  target.start({ tls, tenants });

/** Starts all targets, and warms each up with the first case that it supports. */
async function startAll(
  { name }: Measured,
  cases: readonly LoadCase[],
  targets: readonly Target[],
  warm: number,
  collected: Collected,
  owned: AsyncDisposableStack,
): Promise<Map<string, RunningTarget>> {
  const kept = new Map<string, RunningTarget>();
  for (const target of targets) {
    const running = await tried(collected, cases, target, () => startFor(target, cases[0]!));
    if (running !== undefined) kept.set(target.id, owned.use(running));
  }
  for (const target of targets) {
    const running = kept.get(target.id);
    const one = cases.find((one) => able(target, one));
    if (running === undefined || one === undefined || warm === 0) continue;
    console.error(`${name}: ${one.name}: ${target.id} warms up ...`);
    await tried(collected, cases, target, () => one.measure(running, warm));
  }
  return kept;
}

/** Measures cases on all targets, in reverse order in every other round. */
async function measureCases(
  scenario: Measured,
  cases: readonly LoadCase[],
  all: readonly Target[],
  { rounds, warm }: Effort,
  collected: Collected,
): Promise<void> {
  await using owned = new AsyncDisposableStack();
  const targets = all.filter((target) => cases.some((one) => able(target, one)));
  const kept = scenario.fresh
    ? undefined
    : await startAll(scenario, cases, targets, warm, collected, owned);
  const measureOne = async (one: LoadCase, target: Target) => {
    await using fresh = kept === undefined
      ? await tried(collected, [one], target, () => startFor(target, one))
      : undefined;
    const running = kept?.get(target.id) ?? fresh;
    if (running === undefined) return;
    console.error(`${scenario.name}: ${one.name}: ${target.id} ...`);
    const measured = await tried(collected, [one], target, () => one.measure(running));
    if (measured !== undefined) collected.add(one, target, running.version, measured);
  };
  for (let round = 0; round < rounds; round++) {
    for (const one of cases) {
      for (const target of round % 2 === 0 ? targets : targets.toReversed()) {
        if (!collected.isOmitted(one, target)) await measureOne(one, target);
      }
    }
  }
}

/** Runs the cases of a scenario on targets. Throws `UsageError`. */
export async function measureLoad(
  scenario: Measured,
  targets: readonly Target[],
  cases: readonly LoadCase[],
  effort: Effort,
): Promise<LoadResults> {
  const collected = new Collected();
  for (const one of cases) {
    for (const target of targets.filter((target) => !able(target, one))) {
      const lacking = one.needs.filter((need) => !target.abilities.has(need));
      collected.omit(one, target, "cannot", `no ${lacking.join(", ")}`);
    }
  }
  // Cases with the same setting share a target.
  const setups = Map.groupBy(cases, ({ tls = false, tenants = 1 }) => `${tls} ${tenants}`);
  for (const setup of setups.values()) {
    await measureCases(scenario, setup, targets, effort, collected);
  }
  const { how: placed } = await placement();
  return { placed, ...collected.results(scenario, cases, targets) };
}
