/**
 * How many workers have wedged of late. Each wedge costs a thread that cannot be stopped until its
 * module returns by itself, so many at once mean that the process had better start anew; one now and
 * then does not, since its module is in quarantine. Pure: time is an argument.
 */

/** Wedges within `memory_ms` at which the process gives up. */
export interface WedgeLimits {
  readonly most: number;
  /** After so long a wedge does not count any more. */
  readonly memory_ms: number;
}

/** The wedges that count. */
export interface WedgeCount {
  /** Counts one. True when there are as many as there may be; once, until some are forgotten. */
  add(now_ms: number): boolean;
  /** How many count now. */
  size(now_ms: number): number;
}

/** None yet. */
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
