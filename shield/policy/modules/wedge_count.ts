/**
 * Recently wedged workers. Each wedge costs a thread that cannot be stopped until its module returns, so many at once
 * mean that the process should restart; a single one does not, since its module is in quarantine. Pure: time is an
 * argument.
 */

/** How many wedges within `memory_ms` make the process give up. */
export interface WedgeLimits {
  readonly most: number;
  /** How long a wedge counts, in ms. */
  readonly memory_ms: number;
}

/** The wedges of the last while. */
export interface WedgeCount {
  /** Counts a wedge. True when the limit is reached; only once, until some are forgotten. */
  add(now_ms: number): boolean;
  /** How many wedges count now. */
  size(now_ms: number): number;
}

/** Makes a count without wedges. */
export function createWedgeCount({ most, memory_ms }: WedgeLimits): WedgeCount {
  let times: number[] = [];
  const size = (now_ms: number) => {
    times = times.filter((at_ms) => now_ms - at_ms < memory_ms);
    return times.length;
  };
  return {
    add(now_ms) {
      times.push(now_ms);
      return size(now_ms) === most;
    },
    size,
  };
}
