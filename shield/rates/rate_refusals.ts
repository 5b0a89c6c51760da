/** The answer to an operation beyond a rate: for which it waits longest, and how long. Pure. */
import { ArqonError } from "@arqon/proto";
import { waitFor } from "./token_bucket.ts";
import type { BucketPair, TokenBucket } from "./token_bucket.ts";

/** The owner of a rate. */
export type RateScope = "connection" | "user" | "tenant" | "process";

/** How long an operation must wait, and for which rate. */
export interface Wait {
  readonly scope: RateScope;
  readonly unit: "messages" | "bytes";
  readonly retry_after_ms: number;
  readonly per_second: number;
}

/** The wait for one bucket. */
export function waitOf(
  scope: RateScope,
  unit: Wait["unit"],
  retry_after_ms: number,
  { bucket }: { readonly bucket: TokenBucket },
): Wait {
  return { scope, unit, retry_after_ms, per_second: bucket.per_second };
}

/** The longer of two waits. */
export function longer(one: Wait, other: Wait): Wait {
  return other.retry_after_ms > one.retry_after_ms ? other : one;
}

/** The longer wait of a pair, for an operation of `size_bytes`. */
export function longerOf(
  scope: RateScope,
  { messages, bytes }: BucketPair,
  size_bytes: number,
): Wait {
  return longer(
    waitOf(scope, "messages", waitFor(messages, 1), { bucket: messages }),
    waitOf(scope, "bytes", waitFor(bytes, size_bytes), { bucket: bytes }),
  );
}

function refusalOf({ scope, unit, retry_after_ms, per_second }: Wait): ArqonError {
  const shared = scope === "process" ? ", which its tenants share" : "";
  const detail = `this ${scope} has ${per_second} ${unit} a second${shared}; ` +
    `retry after ${retry_after_ms} ms`;
  return new ArqonError("rate-limited", detail, { retry_after_ms });
}

/**
 * Refusals for a rate. Whoever floods gets the same one again and again, which is made once: an error
 * with its stack costs more than the message that it refuses.
 */
export class RateRefusals {
  #wait: Wait | undefined;
  #refusal: ArqonError | undefined;

  /** The refusal `rate-limited` for this wait; nobody may change it. */
  of(wait: Wait): ArqonError {
    const last = this.#wait;
    const same = last !== undefined && last.retry_after_ms === wait.retry_after_ms &&
      last.scope === wait.scope && last.unit === wait.unit && last.per_second === wait.per_second;
    if (same && this.#refusal !== undefined) return this.#refusal;
    this.#wait = wait;
    return this.#refusal = refusalOf(wait);
  }
}
