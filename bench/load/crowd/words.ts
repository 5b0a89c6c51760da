/** The lines of JSON between a driver and a load process. Types only. */
import type { Crowd, Run } from "../plans/plan.ts";
import type { WireSpec } from "../targets/target.ts";

/** The first line to a load process, which says what the process is. It answers with `Opened`. */
export interface Order {
  readonly wire: WireSpec;
  readonly crowd: Crowd;
  /** Number of this process among those of the crowd. */
  readonly process: number;
}

/** The answer that all connections are open and subscribe to their rooms, or the reason why not. */
export interface Opened {
  readonly connections: number;
  readonly problem?: string;
}

/** Any later line to a load process. */
export type Word =
  /** Begins a run. Answered by `Sent` when everything is sent. */
  | { readonly word: "run"; readonly run: Run; readonly start_ms: number }
  /** Asks for new connections at a constant rate, like those of the first group. Answered by `Sent`. */
  | {
    readonly word: "connect";
    readonly rate: number;
    readonly warmup_seconds: number;
    readonly seconds: number;
    readonly start_ms: number;
  }
  /** Asks for the count so far. Answered by `Count`. */
  | { readonly word: "count" }
  /** Asks for the report. Answered by `Report`. */
  | { readonly word: "report" };

/** How many messages were published, warm-up included, and how often they are to be heard. */
export interface Sent {
  readonly sent: number;
  readonly expected: number;
}

/** How many messages were heard so far, warm-up included. */
export interface Count {
  readonly received: number;
}

/** The measurements of one process since `run` or `connect`. */
export interface Report extends Count {
  /** Deliveries within the counted time. */
  readonly delivered: number;
  /** Histogram of latencies from the due time, for messages that were due within the counted time. */
  readonly latencies: string;
  /** Histogram of how late messages were sent, which is the generator's own part of those latencies. */
  readonly lateness: string;
  /** The first few refusals and ended connections. */
  readonly problems: readonly string[];
  /** Number of all refusals and ended connections. */
  readonly problem_count: number;
}
