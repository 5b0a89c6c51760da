/**
 * How often one caller may ask the admin API: a rate of requests, and within it one of those that the
 * audit log has. Callers are issuer and subject of a token, wherever they ask from.
 */
import { ArqonError } from "@arqon/proto";
import type { Config } from "../shared/config/schema.ts";
import { scrapedCounter } from "../shared/metrics_plain.ts";
import type { Registry } from "../shared/metrics.ts";
import { CheckQueue, registerChecks } from "./check_queue.ts";
import type { Identity } from "./identity.ts";
import { createBucket, take } from "./token_bucket.ts";
import type { TokenBucket } from "./token_bucket.ts";

/** Callers that are remembered; those who asked longest ago go first. */
const CALLERS_MAX = 10_000;
/** By then every bucket is full again. */
const IDLE_MS = 60_000;
/** A deployment of everything there is comes at once, and then nothing for hours. */
const CHANGES_BURST = 10;

interface Caller {
  readonly requests: TokenBucket;
  readonly changes: TokenBucket;
  asked_ms: number;
}

/** The rates of all callers of one process. */
export class AdminRates {
  readonly #limits: Pick<
    Config["limits"],
    "admin_requests_per_second" | "admin_changes_per_second"
  >;
  readonly #now: () => number;
  /** In the order in which they asked last. */
  readonly #callers = new Map<string, Caller>();
  /** Requests that were refused. */
  refused = 0;

  /** `now` is Unix ms. */
  constructor(
    limits: Pick<Config["limits"], "admin_requests_per_second" | "admin_changes_per_second">,
    now: () => number,
  ) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Takes one request. Throws `rate-limited` (429), which says when there is room. */
  takeRequest(identity: Pick<Identity, "tenant_id" | "user_key">): void {
    const { requests } = this.#callerOf(identity);
    this.#take(requests, "admin_requests_per_second");
  }

  /** Takes one that the audit log has, besides. Throws as `takeRequest`. */
  takeChange(identity: Pick<Identity, "tenant_id" | "user_key">): void {
    const { changes } = this.#callerOf(identity);
    this.#take(changes, "admin_changes_per_second");
  }

  #take(bucket: TokenBucket, key: string): void {
    const retry_after_ms = take(bucket, 1, this.#now());
    if (retry_after_ms === 0) return;
    this.refused++;
    throw new ArqonError(
      "rate-limited",
      `${bucket.per_second} a second of this caller on the admin API ([limits] ${key})`,
      { retry_after_ms },
    );
  }

  #callerOf({ tenant_id, user_key }: Pick<Identity, "tenant_id" | "user_key">): Caller {
    const now_ms = this.#now();
    const key = `${tenant_id}\n${user_key}`;
    const { admin_requests_per_second: requests, admin_changes_per_second: changes } = this.#limits;
    const caller = this.#callers.get(key) ?? {
      requests: createBucket(requests, now_ms),
      changes: createBucket(changes, now_ms, changes * CHANGES_BURST),
      asked_ms: now_ms,
    };
    caller.asked_ms = now_ms;
    this.#callers.delete(key);
    this.#callers.set(key, caller);
    for (const [oldest, { asked_ms }] of this.#callers) {
      if (this.#callers.size <= CALLERS_MAX && now_ms - asked_ms < IDLE_MS) break;
      this.#callers.delete(oldest);
    }
    return caller;
  }
}

/** What stands before the admin API: rates by caller, and one queue of checks a tenant, registered. */
export function openAdminGates(
  registry: Registry,
  limits: Config["limits"],
  now: () => number,
): { readonly rates: AdminRates; readonly checks: CheckQueue } {
  const rates = new AdminRates(limits, now);
  const checks = new CheckQueue(limits.admin_checks);
  scrapedCounter(
    registry,
    "shield_admin_rate_limited_total",
    "Requests to the admin API that were refused because their caller asks too often.",
    () => rates.refused,
  );
  registerChecks(registry, checks);
  return { rates, checks };
}
