/**
 * Recently wedged workers. Each wedge costs a thread that cannot be stopped until its module returns, so many at once
 * mean that the process should restart; a single one does not, since its module is in quarantine. Pure: time is an
 * argument.
 */

/** The number of wedges within `memory_ms` after which the process gives up. */
interface WedgeLimits {
  readonly most: number;
  /** How long a wedge counts, in ms. */
  readonly memory_ms: number;
}

/** The recent wedges. */
export interface WedgeCount {
  /** Counts a wedge. Returns true when the limit is reached, and again only after some are forgotten. */
  add(now_ms: number): boolean;
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
