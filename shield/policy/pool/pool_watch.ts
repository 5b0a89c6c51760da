/**
 * Looks at equal distances of time for jobs whose verdict is late and for workers that do not move, while
 * there is work. What is done about them is `pool.ts`.
 */
import type { Job } from "./pool_lane.ts";

/** What the watch needs of its pool. */
export interface WatchOptions {
  readonly stall_ms: number;
  /** The time between two looks at the progress of workers. */
  readonly wedge_check_ms: number;
  /** Monotonic ms. */
  readonly now: () => number;
  /** The jobs without a verdict, in the order of their deadlines. */
  readonly waiting: () => Iterable<Job>;
  /** Refuses a job whose time is over. */
  readonly refuse: (job: Job) => void;
  readonly replaceWedged: () => void;
  readonly hasWork: () => boolean;
}

/** The watch over a pool. */
export interface Watch {
  /** Looks from now on, until there is no work. */
  begin(): void;
  end(): void;
}

/** How often stalls are looked for within `stall_ms`. */
const STALL_CHECKS = 10;
/** A look that comes later than this, in ms, shows that the thread was held up. */
const LATE_MS = 10;

/** Makes a watch that does not look yet. */
export function createWatch(options: WatchOptions): Watch {
  const { stall_ms, wedge_check_ms, now, waiting, refuse } = options;
  const tick_ms = Math.max(1, Math.min(stall_ms / STALL_CHECKS, wedge_check_ms));
  let timer: ReturnType<typeof setInterval> | undefined;
  let next_tick_ms = 0;
  let next_check_ms = 0;

  /**
   * Moves deadlines by the time in which this thread did not get to run: verdicts may wait to be read,
   * and after a long garbage collection all of them would be refused in the first turn.
   */
  function forgive(late_ms: number): void {
    if (late_ms < LATE_MS) return;
    for (const job of waiting()) job.deadline_ms += late_ms;
  }

  function refuseStalled(now_ms: number): void {
    for (const job of waiting()) {
      if (job.deadline_ms > now_ms) return;
      refuse(job);
    }
  }

  function end(): void {
    clearInterval(timer);
    timer = undefined;
  }

  function tick(): void {
    const now_ms = now();
    forgive(now_ms - next_tick_ms);
    next_tick_ms = now_ms + tick_ms;
    refuseStalled(now_ms);
    const late_ms = now_ms - next_check_ms;
    if (late_ms >= 0) {
      next_check_ms = now_ms + wedge_check_ms;
      // When this thread does not get to run either, a worker without progress is no sign of a wedge.
      if (late_ms <= wedge_check_ms) options.replaceWedged();
    }
    if (!options.hasWork()) end();
  }

  return {
    begin() {
      if (timer !== undefined) return;
      const now_ms = now();
      next_tick_ms = now_ms + tick_ms;
      next_check_ms = now_ms + wedge_check_ms;
      timer = setInterval(tick, tick_ms);
      Deno.unrefTimer(timer);
    },
    end,
  };
}
