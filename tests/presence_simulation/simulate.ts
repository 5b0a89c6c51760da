/** Plays a range of seeds and says what failed, in words that let somebody play it again. */
import { generate } from "./generate.ts";
import { type Outcome, play } from "./play.ts";
import { describe, type Schedule } from "./schedule.ts";
import { shrink } from "./shrink.ts";

/** The failing schedule, shrunk, with its violations and how to play it again. */
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

/** What came of many. */
export interface Tally {
  readonly played: number;
  readonly simulated_ms: number;
  readonly delivered: number;
  /** Reports of the first few failing seeds. */
  readonly failures: readonly string[];
}

/** Shrinking takes its time, and one report is enough to start with. */
const REPORTS = 3;

/** Plays the seeds `first`, `first + step` and so on, `count` of them; stops after a few failures. */
export function simulate(first: number, count: number, step: number): Tally {
  const failures: string[] = [];
  let [simulated_ms, delivered, played] = [0, 0, 0];
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
