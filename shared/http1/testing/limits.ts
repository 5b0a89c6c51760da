/** Limits of a listener that no test reaches by accident. Tests only. */

/** Ample numbers and times. */
export const LIMITS = {
  strangers: 100,
  strangers_per_address: 100,
  head_ms: 60_000,
  body_ms: 60_000,
  idle_ms: 60_000,
  answer_ms: 60_000,
  descriptors: 1_000,
};
