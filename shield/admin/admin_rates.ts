/**
 * Rate limits of the admin API per caller: one for all requests, and one for requests that go into the audit log. A
 * caller is the issuer and subject of a token, from any address.
 */
import { ArqonError } from "@arqon/proto";
import type { Config } from "../../shared/config/schema.ts";
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import { type Registry, scraped } from "../../shared/metrics/metrics.ts";
import { FairQueue } from "../../shared/turns/fair_queue.ts";
import type { Identity } from "../auth/identity.ts";
import { createBucket, setRate, take, type TokenBucket } from "../../shared/rates/token_bucket.ts";

/** The most callers that are kept; those that have been idle the longest are evicted first. */
const CALLERS_MAX = 10_000;
/** After this time without a request a caller's bucket is full again, in ms. */
const IDLE_MS = 60_000;
/** The burst of changes: a deployment makes many changes at once, and then none for hours. */
const CHANGES_BURST = 10;
/** Checks that run at a time, one in each checking thread, and the most queued checks of all tenants. */
const CHECKS_RUNNING_MAX = 2;
const CHECKS_WAITING_MAX = 256;

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
  /** The callers, least recently active first. */
  readonly #callers = new BoundedMap<string, Caller>(CALLERS_MAX);
  /** How many requests were refused. */
  refused = 0;

  /** `now` is Unix ms. */
  constructor(
    limits: Pick<Config["limits"], "admin_requests_per_second" | "admin_changes_per_second">,
    now: () => number,
  ) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Counts one request. Throws `rate-limited` (429) with the time of the next free slot. */
  takeRequest(identity: Pick<Identity, "tenant_id" | "user_key">): void {
    const { requests } = this.#callerOf(identity);
    this.#take(requests, "admin_requests_per_second");
  }

  /** Counts one request that changes something, in addition. Throws as `takeRequest` does. */
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
      `${bucket.per_second} a second for one caller of the admin API (limits.${key})`,
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
    setRate(caller.requests, requests);
    setRate(caller.changes, changes, changes * CHANGES_BURST);
    this.#callers.renew(key, caller);
    for (const [oldest, { asked_ms }] of this.#callers) {
      if (now_ms - asked_ms < IDLE_MS) break;
      this.#callers.delete(oldest);
    }
    return caller;
  }
}

/** Makes the gates of the admin API, both with metrics: rates by caller, and a queue of checks for each tenant. */
export function openAdminGates(
  registry: Registry,
  limits: Config["limits"],
  now: () => number,
): { readonly rates: AdminRates; readonly checks: FairQueue } {
  const rates = new AdminRates(limits, now);
  const checks = new FairQueue({
    running_max: CHECKS_RUNNING_MAX,
    waiting_max: CHECKS_WAITING_MAX,
    tenant_waiting_max: limits.admin_checks,
  });
  scraped(registry, {
    "shield_admin_rate_limited_total": [
      "Requests to the admin API that were refused because their caller exceeded its rate.",
      () => rates.refused,
    ],
    "shield_admin_checks_waiting": [
      "Modules and schemas of all tenants that are queued for their checks.",
      () => checks.waiting,
    ],
    "shield_admin_checks_refused_total": [
      "Modules and schemas that were refused because too many checks of their tenant were queued.",
      () => checks.refused,
    ],
  });
  return { rates, checks };
}
