/**
 * The two sizes of a durable run as plain data: every time and number that differs between them.
 * Nothing here starts anything.
 */

import type { Range } from "../faults/fault.ts";

/** What a run is like. */
export interface Variant {
  readonly name: "short" | "long";
  /** How long a fault lasts. */
  readonly away_ms: Range;
  /** Between the end of a fault of a NATS server (of a Shield) and the next of one. */
  readonly pause_ms: Range;
  /** `[server] drain_ms` of the Shields. */
  readonly drain_ms: number;
  /** How long messages are published on after the last fault. */
  readonly quiet_ms: number;
  /** After the last publish every subscriber must be at the end of its rooms within this. */
  readonly bound_ms: number;
  /** Between two times that a client which comes and goes does so. */
  readonly roam_ms: Range;
  readonly publishers: number;
}

/** For `deno task test`. */
export const SHORT: Variant = {
  name: "short",
  away_ms: [300, 1_500],
  pause_ms: [1_000, 2_500],
  drain_ms: 500,
  quiet_ms: 1_000,
  bound_ms: 60_000,
  roam_ms: [500, 2_500],
  publishers: 2,
};

/** `deno task chaos:durable`. */
export const LONG: Variant = {
  name: "long",
  away_ms: [1_000, 8_000],
  pause_ms: [2_000, 8_000],
  drain_ms: 2_000,
  quiet_ms: 5_000,
  bound_ms: 120_000,
  roam_ms: [2_000, 10_000],
  publishers: 8,
};
