/**
 * Counts and logs refused messages, with a rate limit for each reason: a sender of invalid messages must not fill the
 * log. Decides nothing.
 */
import type { LogFields, Logger } from "../../shared/logs/log.ts";

/** Interval between two log lines of one reason. */
const LOG_INTERVAL_MS = 10_000;

/** Counts and logs a refusal; always returns false, so that a check can end with it. */
export type Refuse<Reason extends string> = (reason: Reason, fields: LogFields) => false;

/** Creates the function that counts and logs refusals. `now`: Unix ms. */
export function createRefusals<Reason extends string>(
  options: { refused: { inc(labels: { reason: Reason }): void }; log: Logger; now: () => number },
): Refuse<Reason> {
  const { refused, log, now } = options;
  const logged = new Map<Reason, { at_ms: number; silent: number }>();
  return (reason, fields) => {
    refused.inc({ reason });
    const last = logged.get(reason);
    const now_ms = now();
    if (last !== undefined && Math.abs(now_ms - last.at_ms) < LOG_INTERVAL_MS) {
      last.silent += 1;
      return false;
    }
    const since = last === undefined || last.silent === 0 ? {} : { more_since: last.silent };
    logged.set(reason, { at_ms: now_ms, silent: 0 });
    log.warn("message of another process refused", { reason, ...fields, ...since });
    return false;
  };
}
