/**
 * Tells who asked of the verdicts: all that were given in one task together, when it is over. A verdict may be
 * given in the middle of handing over others, where whoever learns of it must not ask for the next one.
 */
import type { Job } from "./pool_lane.ts";

type Told = Pick<Job, "onVerdict" | "verdict">;

/** The verdicts that nobody was notified of yet. */
export interface Verdicts {
  /** Adds a job that has its verdict. */
  add(job: Told): void;
}

/** Makes it, with no verdicts. */
export function createVerdicts(): Verdicts {
  let jobs: Told[] = [];

  function tell(): void {
    const told = jobs;
    jobs = [];
    for (const { onVerdict, verdict } of told) {
      try {
        onVerdict(verdict!);
      } catch (error) {
        // It is the error of one who asked: the others learn of theirs, and the process of it.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  return {
    add(job) {
      if (jobs.push(job) === 1) queueMicrotask(tell);
    },
  };
}
