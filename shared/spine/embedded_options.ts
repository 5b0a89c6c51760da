/**
 * What the embedded engine is opened with, and its defaults; `embedded.ts` is the engine. Not the
 * configuration: `open.ts` brings that into this form.
 */
import type { Logger } from "../log.ts";
import type { LogLimits } from "./durable_log.ts";

/** Bounds of what waits for delivery. */
export interface EmbeddedLimits {
  /** Messages waiting for one subscription; above, its messages are lost and it gets a `gap`. */
  readonly subscription_messages: number;
  /** Payload bytes waiting for one subscription; likewise. */
  readonly subscription_bytes: number;
  /** Payload bytes waiting for all; above, publishing is refused with 503. */
  readonly pending_bytes: number;
}

/** What the engine is opened with. */
export interface EmbeddedOptions {
  readonly log: Logger;
  /** Unix ms. */
  readonly now: () => number;
  /** Folder of the key-value data; without it they are in memory. */
  readonly data_dir?: string;
  readonly limits?: Partial<EmbeddedLimits>;
  /** Of the logs of durable rooms; without a `data_dir` they are in memory as well. */
  readonly log_limits?: Partial<LogLimits>;
  /** Monotonic ms; absent: `performance.now`. For the clock of the logs. */
  readonly monotonic_ms?: () => number;
}

// As a NATS server's defaults: what works here works there.
/** Largest payload with its headers. */
export const PAYLOAD_BYTES = 1_048_576;
/** The limits of who gives none. */
export const LIMITS: EmbeddedLimits = {
  subscription_messages: 65_536,
  subscription_bytes: 67_108_864,
  pending_bytes: 268_435_456,
};
