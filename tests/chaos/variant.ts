/**
 * The two sizes of a chaos run as plain data: every time and number that differs between them.
 * Nothing here starts anything.
 */

import type { Range } from "../faults/fault.ts";

/** What a run is like. */
export interface Variant {
  readonly name: "short" | "long";
  /** The `[presence]` table of every process; empty: the defaults. */
  readonly presence: string;
  /** `[server] drain_ms` of the Shields. */
  readonly drain_ms: number;
  /** How long a fault lasts. */
  readonly away_ms: Range;
  /** How long one of several NATS servers is stopped. */
  readonly freeze_ms: Range;
  /** Between the end of a fault and the next. */
  readonly pause_ms: Range;
  /** One Shield is stopped for this long once, long enough to be down (in the short run: forgotten). */
  readonly long_stop_ms: number;
  /** After the last fault every list must be right within this. */
  readonly bound_ms: number;
  /** A list that was right for this long is taken for good. */
  readonly steady_ms: number;
  /** Between two things that some client does of its own accord. */
  readonly churn_ms: number;
  readonly lock_rooms_per_tenant: number;
  readonly contenders_per_lock_room: number;
  /** Lease of a lock. */
  readonly lock_ttl_ms: number;
  /**
   * A Shield that is silent for less than this is not down, however busy the machine is: a client
   * that hears otherwise has heard something wrong. Undefined: `down_ms` is too short to say.
   */
  readonly never_down_before_ms: number | undefined;
  /** Messages a second into plain rooms and into durable ones, over all tenants. */
  readonly message_rate: number;
  readonly durable_rate: number;
  /**
   * Share of the deliveries in plain rooms that a GAP may excuse. In a run of seconds one fault is a
   * large part of it.
   */
  readonly excused_share: number;
  /** Between two times that a reader which comes and goes does so. */
  readonly roam_ms: Range;
}

/** For `deno task test`: everything that is seconds by default happens within one or two. */
export const SHORT: Variant = {
  name: "short",
  presence: `
[presence]
heartbeat_ms = 200
down_ms = 2_000
forget_ms = 4_000
brain_timeout_ms = 800
`,
  drain_ms: 500,
  away_ms: [300, 2_000],
  freeze_ms: [1_000, 3_000],
  pause_ms: [100, 500],
  long_stop_ms: 5_000,
  bound_ms: 30_000,
  steady_ms: 1_000,
  churn_ms: 50,
  lock_rooms_per_tenant: 1,
  contenders_per_lock_room: 3,
  lock_ttl_ms: 1_000,
  never_down_before_ms: undefined,
  message_rate: 120,
  durable_rate: 40,
  excused_share: 0.3,
  roam_ms: [500, 2_500],
};

/** `deno task chaos:presence`: the defaults of `[presence]` (down after 30 s). */
export const LONG: Variant = {
  name: "long",
  presence: "",
  drain_ms: 2_000,
  away_ms: [1_000, 7_000],
  freeze_ms: [8_000, 12_000],
  pause_ms: [500, 2_500],
  long_stop_ms: 36_000,
  bound_ms: 60_000,
  steady_ms: 5_000,
  churn_ms: 100,
  lock_rooms_per_tenant: 2,
  contenders_per_lock_room: 4,
  lock_ttl_ms: 2_000,
  never_down_before_ms: 20_000,
  message_rate: 240,
  durable_rate: 100,
  excused_share: 0.05,
  roam_ms: [2_000, 10_000],
};
