/** What a load process is told, and what it says: lines of JSON. Types only. */
import type { Crowd, Run } from "./plan.ts";
import type { WireSpec } from "./target.ts";

/** The first line: whom to be. It answers with `Opened`. */
export interface Order {
  readonly wire: WireSpec;
  readonly crowd: Crowd;
  /** Number of this process among those of the crowd. */
  readonly process: number;
}

/** All connections are there and hear their rooms, or why not. */
export interface Opened {
  readonly connections: number;
  readonly problem?: string;
}

/** Any later line. */
export type Word =
  /** Answered by `Sent` when all is sent. */
  | { readonly word: "run"; readonly run: Run; readonly start_ms: number }
  /** New connections at a constant rate, as those of its first group. Answered by `Sent`. */
  | {
    readonly word: "connect";
    readonly rate: number;
    readonly warmup_seconds: number;
    readonly seconds: number;
    readonly start_ms: number;
  }
  /** Answered by `Count`. */
  | { readonly word: "count" }
  /** Answered by `Report`. */
  | { readonly word: "report" };

/** What was published, warm-up included, and how often it is to be heard. */
export interface Sent {
  readonly sent: number;
  readonly expected: number;
}

/** What was heard so far, warm-up included. */
export interface Count {
  readonly received: number;
}

/** What one process measured since `run` or `connect`. */
export interface Report extends Count {
  /** Heard within the counted time. */
  readonly delivered: number;
  /** Histogram of latencies from the due time, of what was due within the counted time. */
  readonly latencies: string;
  /** Histogram of how late it was sent: the generator's own part of those latencies. */
  readonly lateness: string;
  /** Refusals and ends of connections, the first few. */
  readonly problems: readonly string[];
  /** All of them. */
  readonly problem_count: number;
}
