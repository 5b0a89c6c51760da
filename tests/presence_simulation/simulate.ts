/** Runs a range of seeds and reports failures with the command that repeats them. */
import { generate } from "./generate.ts";
import { type Outcome, play } from "./play.ts";
import { describe, type Schedule } from "./schedule.ts";
import { shrink } from "./shrink.ts";

/** The failing schedule, shrunk, with its violations and the command that repeats it. */
export function report(schedule: Schedule, outcome: Outcome): string {
  const smallest = shrink(schedule, (candidate) => play(candidate).violations.length > 0);
  const again = play(smallest);
  return [
    `seed ${schedule.seed} fails:`,
    ...outcome.violations.map((text) => `  ${text}`),
    `shrunk from ${schedule.actions.length} to ${smallest.actions.length} actions:`,
    describe(smallest),
    ...again.violations.map((text) => `  ${text}`),
    `again: deno run tests/presence_simulation/run.ts --seed ${schedule.seed} --verbose`,
  ].join("\n");
}

/** The outcome of many schedules. */
export interface Tally {
  readonly played: number;
  readonly simulated_ms: number;
  readonly delivered: number;
  /** Reports of the first few failing seeds. */
  readonly failures: readonly string[];
}

/** Shrinking is slow, and one report is enough to start with. */
const REPORTS = 3;

/** Runs `count` seeds: `first`, `first + step` and so on; stops after a few failures. */
export function simulate(first: number, count: number, step: number): Tally {
  const failures: string[] = [];
  let simulated_ms = 0;
  let delivered = 0;
  let played = 0;
  while (played < count && failures.length < REPORTS) {
    const schedule = generate(first + played * step);
    const outcome = play(schedule);
    played++;
    simulated_ms += outcome.simulated_ms;
    delivered += outcome.delivered;
    if (outcome.violations.length > 0) failures.push(report(schedule, outcome));
  }
  return { played, simulated_ms, delivered, failures };
}
