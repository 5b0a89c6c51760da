/**
 * Rates of one connection (token buckets) and how many connections a user, a tenant and the process
 * may have. Plain data and arithmetic: time is an argument, nothing here waits.
 */
import { ArqonError } from "@arqon/proto";
import { Counter } from "prom-client";
import type { Registry } from "prom-client";
import type { Config } from "../shared/config/schema.ts";
import type { Identity } from "./identity.ts";

/**
 * Fills at `per_second` up to `burst`; may go below zero (see `take`). The level is kept in
 * thousandths, so that whole milliseconds at whole rates add up without rounding.
 */
export interface TokenBucket {
  readonly per_second: number;
  readonly burst: number;
  thousandths: number;
  updated_ms: number;
}

/** A full bucket. `burst` defaults to two seconds' worth, as `[limits]` promises. */
export function createBucket(
  per_second: number,
  now_ms: number,
  burst: number = per_second * 2,
): TokenBucket {
  return { per_second, burst, thousandths: burst * 1_000, updated_ms: now_ms };
}

/** A clock that goes backwards adds nothing and never locks the bucket. */
function refill(bucket: TokenBucket, now_ms: number): void {
  const elapsed_ms = now_ms - bucket.updated_ms;
  bucket.updated_ms = now_ms;
  if (elapsed_ms <= 0) return;
  const filled = bucket.thousandths + elapsed_ms * bucket.per_second;
  bucket.thousandths = Math.min(bucket.burst * 1_000, filled);
}

/** Ms until `amount` fits; an amount above the burst fits when the bucket is full. */
function wait_ms(bucket: TokenBucket, amount: number): number {
  const missing = Math.min(amount, bucket.burst) * 1_000 - bucket.thousandths;
  return missing <= 0 ? 0 : Math.ceil(missing / bucket.per_second);
}

/**
 * Takes `amount` and returns 0, or takes nothing and returns the ms after which it would fit.
 * What is larger than the burst passes a full bucket and leaves a debt, so that a legal frame is
 * never refused for ever and the rate still holds.
 */
export function take(bucket: TokenBucket, amount: number, now_ms: number): number {
  refill(bucket, now_ms);
  const retry_after_ms = wait_ms(bucket, amount);
  if (retry_after_ms === 0) bucket.thousandths -= amount * 1_000;
  return retry_after_ms;
}

/** The two rates of one connection. */
export interface ConnectionRates {
  readonly messages: TokenBucket;
  readonly bytes: TokenBucket;
}

/** Full buckets for one connection, or for one user of the HTTP endpoint; bursts of two seconds. */
export function createRates(
  limits: Pick<Config["limits"], "messages_per_second" | "bytes_per_second">,
  now_ms: number,
): ConnectionRates {
  return {
    messages: createBucket(limits.messages_per_second, now_ms),
    bytes: createBucket(limits.bytes_per_second, now_ms),
  };
}

/** One operation of `size_bytes`: takes from both buckets or from neither; 0 or retry-after in ms. */
export function takeOperation(rates: ConnectionRates, size_bytes: number, now_ms: number): number {
  refill(rates.messages, now_ms);
  refill(rates.bytes, now_ms);
  const retry_after_ms = Math.max(wait_ms(rates.messages, 1), wait_ms(rates.bytes, size_bytes));
  if (retry_after_ms > 0) return retry_after_ms;
  rates.messages.thousandths -= 1_000;
  rates.bytes.thousandths -= size_bytes * 1_000;
  return 0;
}

type ConnectionLimits = Pick<
  Config["limits"],
  "connections_per_user" | "connections_per_tenant" | "connections_per_process"
>;

/** Open connections of this process. */
export interface ConnectionCounters {
  /**
   * Counts one more connection and returns its release (idempotent). Throws `at-capacity` (503)
   * for the process, `too-many-connections` (429) for the tenant or the user.
   */
  acquire(identity: Pick<Identity, "tenant_id" | "user_key">): () => void;
  /** Throws `at-capacity` early, before a token is looked at. */
  requireRoom(): void;
  /** Open connections; with a tenant, of that tenant. */
  open(tenant_id?: string): number;
  /** Distinct users and tenants with an open connection. */
  distinct(): { users: number; tenants: number };
}

function bump(counts: Map<string, number>, key: string, by: number): void {
  const next = (counts.get(key) ?? 0) + by;
  if (next > 0) counts.set(key, next);
  else counts.delete(key);
}

/** Refusals are counted in `shield_connections_refused_total{scope}`. */
export function createConnectionCounters(
  limits: ConnectionLimits,
  registry: Registry,
): ConnectionCounters {
  const users = new Map<string, number>();
  const tenants = new Map<string, number>();
  let total = 0;
  const refused = new Counter({
    name: "shield_connections_refused_total",
    help: "Connections refused because a user, a tenant or the process has too many",
    labelNames: ["scope"],
    registers: [registry],
  });

  function requireRoom(): void {
    if (total < limits.connections_per_process) return;
    refused.inc({ scope: "process" });
    throw new ArqonError("at-capacity", `${limits.connections_per_process}`, {
      retry_after_ms: 1_000,
    });
  }

  function requireBelow(counts: Map<string, number>, key: string, limit: number, scope: string) {
    if ((counts.get(key) ?? 0) < limit) return;
    refused.inc({ scope });
    throw new ArqonError("too-many-connections", `this ${scope} has ${limit}`, {
      retry_after_ms: 1_000,
    });
  }

  function acquire(identity: Pick<Identity, "tenant_id" | "user_key">): () => void {
    const { tenant_id, user_key } = identity;
    requireRoom();
    requireBelow(tenants, tenant_id, limits.connections_per_tenant, "tenant");
    requireBelow(users, user_key, limits.connections_per_user, "user");
    const change = (by: 1 | -1) => {
      total += by;
      bump(tenants, tenant_id, by);
      bump(users, user_key, by);
    };
    change(1);
    let held = true;
    return () => {
      if (held) change(-1);
      held = false;
    };
  }

  return {
    acquire,
    requireRoom,
    open: (tenant_id) => tenant_id === undefined ? total : tenants.get(tenant_id) ?? 0,
    distinct: () => ({ users: users.size, tenants: tenants.size }),
  };
}
