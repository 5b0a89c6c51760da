/** The lines of JSON between the driver and a load process. Types only. */
import type { Crowd, Run } from "../plans/plan.ts";
import type { WireSpec } from "../targets/target.ts";

/** The first line to a load process: its role. The answer is `Opened`. */
export interface Order {
  readonly wire: WireSpec;
  readonly crowd: Crowd;
  /** Index of this process in the crowd. */
  readonly process: number;
}

/** The answer when all connections are open and subscribed, or the reason for the failure. */
export interface Opened {
  readonly connections: number;
  readonly problem?: string;
}

/** Every later line to a load process. */
export type Word =
  /** Starts a run. The answer is `Sent`, after the last message. */
  | { readonly word: "run"; readonly run: Run; readonly start_ms: number }
  /** Opens new connections at a constant rate, like those of the first group. The answer is `Sent`. */
  | {
    readonly word: "connect";
    readonly rate: number;
    readonly warmup_seconds: number;
    readonly seconds: number;
    readonly start_ms: number;
  }
  | { readonly word: "count" }
  | { readonly word: "report" };

/** Number of published messages, warm-up included, and the number of expected deliveries. */
export interface Sent {
  readonly sent: number;
  readonly expected: number;
}

/** Number of deliveries so far, warm-up included. */
export interface Count {
  readonly received: number;
}

/** The measurements of one process since `run` or `connect`. */
export interface Report extends Count {
  readonly delivered: number;
  /** Histogram of latencies from the due time, for messages that were due during the measurement. */
  readonly latencies: string;
  /** Histogram of send delays, which is the generator's share of those latencies. */
  readonly lateness: string;
  /** The first few refusals and disconnections. */
  readonly problems: readonly string[];
  readonly problem_count: number;
}
