/**
 * Runs a scenario on targets: they take turns for so many rounds, in the opposite order in every other round.
 * A failure of one target is kept, and the others go on. It knows no scenario.
 */
import { positive, UsageError } from "../measure/scenario.ts";
import type { OptionValues } from "../measure/scenario.ts";
import { median } from "../measure/statistics.ts";
import { placement } from "../measure/cores.ts";
import { merged } from "../measure/histogram.ts";
import type {
  LoadCase,
  LoadResults,
  LoadScenario,
  Measurement,
  Omitted,
  Row,
} from "./scenarios/load_scenario.ts";
import { warmSeconds } from "./scenarios/load_scenario.ts";
import { type RunningTarget, type Target, TargetUnavailable } from "./targets/target.ts";

type Key = string;
const keyOf = (name: string, target: string): Key => `${name}\n${target}`;
const textOf = (error: unknown) => error instanceof Error ? error.message : String(error);

function histogramOf(measured: readonly Measurement[]): { histogram?: string } {
  const all = measured.flatMap(({ histogram }) => histogram === undefined ? [] : [histogram]);
  return all.length === 0 ? {} : { histogram: merged(all).encode() };
}

/** Collects measurements, by case and target. */
class Collected {
  readonly #measured = new Map<Key, Measurement[]>();
  readonly #omitted = new Map<Key, Omitted>();
  readonly #versions = new Map<string, string>();

  add(one: LoadCase, target: Target, version: string, measurement: Measurement): void {
    const key = keyOf(one.name, target.id);
    const measured = this.#measured.get(key) ?? [];
    this.#measured.set(key, [...measured, measurement]);
    this.#versions.set(target.id, version);
  }

  omit(one: LoadCase, target: Target, kind: Omitted["kind"], why: string): void {
    const omitted = { case: one.name, target: target.id, kind, why };
    this.#omitted.set(keyOf(one.name, target.id), omitted);
    if (kind !== "cannot") console.error(`${target.id}: ${kind}: ${why}`);
  }

  isOmitted(one: LoadCase, target: Target): boolean {
    return this.#omitted.has(keyOf(one.name, target.id));
  }

  results(scenario: LoadScenario, cases: readonly LoadCase[], targets: readonly Target[]) {
    const medianOf = (name: string, target: string, key: string) =>
      median((this.#measured.get(keyOf(name, target)) ?? []).map(({ figures }) => figures[key]!));
    const rows = cases.flatMap((one) =>
      targets.flatMap((target): Row[] => {
        const measured = this.#measured.get(keyOf(one.name, target.id));
        if (measured === undefined) return [];
        const keys = Object.keys(measured[0]?.figures ?? {});
        const headline = measured.map(({ figures }) => figures[scenario.headline]!);
        const limit = medianOf(one.beside ?? one.name, "deno", scenario.headline);
        return [{
          scenario: scenario.name,
          case: one.name,
          target: target.id,
          title: target.title,
          version: this.#versions.get(target.id) ?? "",
          medians: Object.fromEntries(
            keys.map((key) => [key, medianOf(one.name, target.id, key)]),
          ),
          least: Math.min(...headline),
          most: Math.max(...headline),
          ratio: median(headline) / limit,
          missing: measured.reduce((sum, { missing }) => sum + missing, 0),
          problems: measured.flatMap(({ problems }) => problems).slice(0, 5),
          rounds: measured.map(({ figures }) => figures),
          ...histogramOf(measured),
        }];
      })
    );
    return { rows, omitted: [...this.#omitted.values()] };
  }
}

/** Groups the cases that the same setting of a target serves. */
function bySetup<C extends LoadCase>(cases: readonly C[]): C[][] {
  const setups = Map.groupBy(cases, ({ tls = false, tenants = 1 }) => `${tls} ${tenants}`);
  return [...setups.values()];
}

async function startOne(
  target: Target,
  { tls = false, tenants = 1 }: LoadCase,
): Promise<RunningTarget> {
  return await target.start({ tls, tenants });
}

/** Measures a case once. A failure is kept, and the target gets this case no more. */
async function measureOne<C extends LoadCase>(
  scenario: LoadScenario<C>,
  { one, target, running }: { one: C; target: Target; running: RunningTarget },
  values: OptionValues,
  collected: Collected,
): Promise<void> {
  console.error(`${scenario.name}: ${one.name}: ${target.id} ...`);
  try {
    const measurement = await scenario.measure(running, one, values);
    collected.add(one, target, running.version, measurement);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    collected.omit(one, target, "failed", textOf(error));
  }
}

/** Starts a target for its cases; undefined when it cannot run here, which is noted. */
async function tryStart(
  target: Target,
  cases: readonly LoadCase[],
  collected: Collected,
): Promise<RunningTarget | undefined> {
  try {
    return await startOne(target, cases[0]!);
  } catch (error) {
    const kind = error instanceof TargetUnavailable ? "not here" : "failed";
    for (const one of cases) collected.omit(one, target, kind, textOf(error));
    return undefined;
  }
}

/**
 * Lets a target that has just started serve the first case that it can for a while, of which nothing counts. A
 * failure is kept, and the target is not measured.
 */
async function warmUp<C extends LoadCase>(
  scenario: LoadScenario<C>,
  cases: readonly C[],
  { target, running }: { target: Target; running: RunningTarget },
  values: OptionValues,
  collected: Collected,
): Promise<void> {
  const seconds = warmSeconds(values);
  const one = cases.find(({ needs }) => needs.every((need) => target.abilities.has(need)));
  if (seconds === 0 || one === undefined) return;
  console.error(`${scenario.name}: ${one.name}: ${target.id} warms up ...`);
  try {
    await scenario.measure(running, one, { ...values, seconds: String(seconds) });
  } catch (error) {
    if (error instanceof UsageError) throw error;
    for (const each of cases) collected.omit(each, target, "failed", textOf(error));
  }
}

/** Measures cases on all targets in turns, in the opposite order in every other round. */
async function measureCases<C extends LoadCase>(
  scenario: LoadScenario<C>,
  cases: readonly C[],
  targets: readonly Target[],
  values: OptionValues,
  collected: Collected,
): Promise<void> {
  await using owned = new AsyncDisposableStack();
  const kept = new Map<string, RunningTarget>();
  const able = targets.filter((target) =>
    cases.some((one) => one.needs.every((need) => target.abilities.has(need)))
  );
  if (!scenario.fresh) {
    for (const target of able) {
      const running = await tryStart(target, cases, collected);
      if (running !== undefined) kept.set(target.id, owned.use(running));
    }
    for (const target of able) {
      const running = kept.get(target.id);
      if (running === undefined) continue;
      await warmUp(scenario, cases, { target, running }, values, collected);
    }
  }
  for (let round = 0; round < positive(values, "rounds"); round++) {
    for (const one of cases) {
      for (const target of round % 2 === 0 ? able : able.toReversed()) {
        if (collected.isOmitted(one, target)) continue;
        const own = kept.get(target.id);
        await using running = own === undefined
          ? await tryStart(target, [one], collected)
          : undefined;
        const used = own ?? running;
        if (used !== undefined) {
          await measureOne(scenario, { one, target, running: used }, values, collected);
        }
      }
    }
  }
}

/** Runs a scenario on targets. Throws `UsageError`. */
export async function measureLoad<C extends LoadCase>(
  scenario: LoadScenario<C>,
  targets: readonly Target[],
  values: OptionValues,
): Promise<LoadResults> {
  const collected = new Collected();
  const cases = scenario.cases(values);
  for (const one of cases) {
    for (const target of targets) {
      const lacking = one.needs.filter((need) => !target.abilities.has(need));
      if (lacking.length > 0) collected.omit(one, target, "cannot", `no ${lacking.join(", ")}`);
    }
  }
  for (const setup of bySetup(cases)) {
    await measureCases(scenario, setup, targets, values, collected);
  }
  const { how: placed } = await placement();
  return { placed, ...collected.results(scenario as unknown as LoadScenario, cases, targets) };
}
