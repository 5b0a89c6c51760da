/** Runs a range of seeds and reports failures with the command that repeats them. */
import { generate } from "./generate.ts";
import { type Outcome, play } from "./play.ts";
import { describe, type Schedule } from "./schedule.ts";

/**
 * Shrinks a failing schedule: drops actions while it still fails. Greedy: first halves, then quarters, down to single
 * actions, until none can be dropped. `fails` runs a schedule; it is called at most `tries` times.
 */
export function shrink(
  schedule: Schedule,
  fails: (candidate: Schedule) => boolean,
  tries = 2_000,
): Schedule {
  let smallest = schedule;
  let left = tries;
  let size = Math.ceil(schedule.actions.length / 2);
  while (size >= 1 && left > 0) {
    let dropped = false;
    for (let start = 0; start < smallest.actions.length && left > 0;) {
      const actions = [
        ...smallest.actions.slice(0, start),
        ...smallest.actions.slice(start + size),
      ];
      const candidate = { ...smallest, actions };
      left--;
      if (fails(candidate)) {
        smallest = candidate;
        dropped = true;
      } else {
        start += size;
      }
    }
    if (size === 1 && !dropped) break;
    size = size === 1 ? 1 : Math.floor(size / 2);
  }
  return smallest;
}

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
