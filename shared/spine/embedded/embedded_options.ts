/**
 * What the embedded engine is opened with, and its defaults; `embedded.ts` is the engine. Not the
 * configuration: `open.ts` brings that into this form.
 */
import type { Env } from "../../env.ts";
import type { LogLimits } from "../contract/durable_log.ts";

/** Bounds of what is queued for delivery. */
export interface EmbeddedLimits {
  /**
   * Messages that may wait for one subscription; with more its messages are lost and it gets a
   * `gap`.
   */
  readonly subscription_messages: number;
  /**
   * Payload bytes that may wait for one subscription; with more its messages are lost and it gets a
   * `gap`.
   */
  readonly subscription_bytes: number;
  /** Payload bytes that may wait for all; with more publishing is refused with 503. */
  readonly pending_bytes: number;
  /**
   * Bytes that may be written to the disk while a backup is read; with more the backup is given up.
   */
  readonly backup_waiting_bytes: number;
}

/** What the engine is opened with. */
export interface EmbeddedOptions extends Pick<Env, "log" | "now"> {
  /** Folder of the key-value data; absent: they are in memory. */
  readonly data_dir?: string;
  readonly limits?: Partial<EmbeddedLimits>;
  /** Limits of the logs of durable rooms; without a `data_dir` these are in memory as well. */
  readonly log_limits?: Partial<LogLimits>;
  /**
   * Milliseconds that only grow, for deadlines and the clock of the logs; absent:
   * `performance.now`.
   */
  readonly monotonic_ms?: () => number;
}

// As a NATS server's defaults: what works here works there.
/** Largest payload with its headers, in bytes. */
export const PAYLOAD_BYTES = 1_048_576;
/** The limits unless others are given. */
export const LIMITS: EmbeddedLimits = {
  subscription_messages: 65_536,
  subscription_bytes: 67_108_864,
  pending_bytes: 268_435_456,
  backup_waiting_bytes: 1_073_741_824,
};
