/**
 * The options of the embedded engine and their defaults; `embedded.ts` is the engine. `open.ts` converts the
 * configuration to these options.
 */
import type { Env } from "../../env.ts";
import type { LogLimits } from "../contract/durable_log.ts";

/** Bounds of the delivery queues. */
export interface EmbeddedLimits {
  /** Messages queued for one subscription; above, new ones are dropped and it gets a `gap`. */
  readonly subscription_messages: number;
  /** Payload bytes queued for one subscription; above, new messages are dropped and it gets a `gap`. */
  readonly subscription_bytes: number;
  /** Payload bytes queued for all subscriptions; above, a publish is refused with 503. */
  readonly pending_bytes: number;
  /** Bytes that may be written to the disk during a backup; above, the backup is aborted. */
  readonly backup_waiting_bytes: number;
}

/** The options of the engine. */
export interface EmbeddedOptions extends Pick<Env, "log" | "now"> {
  /** Folder of the data; absent: they are in memory. */
  readonly data_dir?: string;
  readonly limits?: Partial<EmbeddedLimits>;
  readonly log_limits?: Partial<LogLimits>;
  /** Monotonic milliseconds, for deadlines and the clock of the logs; absent: `performance.now`. */
  readonly monotonic_ms?: () => number;
}

// Same as a NATS server's default: a message that works here works there.
/** Largest payload with its headers, in bytes. */
export const PAYLOAD_BYTES = 1_048_576;
/** The limits unless others are given. */
export const LIMITS: EmbeddedLimits = {
  subscription_messages: 65_536,
  subscription_bytes: 67_108_864,
  pending_bytes: 268_435_456,
  backup_waiting_bytes: 1_073_741_824,
};
