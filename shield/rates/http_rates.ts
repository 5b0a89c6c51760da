/**
 * Limits users' requests over HTTP: to the rate of one connection, and together with the user's connections to the
 * rates of the user and the tenant. Each request is one operation; `rates.ts` has the rates.
 */
import type { Identity } from "../auth/identity.ts";
import type { Rates, RateTable } from "./rates.ts";
import { bump, type ShieldStats } from "../stats/stats.ts";
import type { TenantTable } from "../stats/tenant_stats.ts";

/** The most users with a remembered rate, least recently active dropped first. */
const USERS_MAX = 10_000;
/** After this time, in ms, every bucket is full again. */
const IDLE_MS = 60_000;

interface Asker {
  readonly rates: Rates;
  readonly asked_ms: number;
}

/** The rates of all users of one route. */
export class HttpRates {
  readonly #table: Pick<RateTable, "open">;
  readonly #now: () => number;
  /** The users, least recently active first. */
  readonly #askers = new Map<string, Asker>();

  /** `now` is Unix ms. */
  constructor(table: Pick<RateTable, "open">, now: () => number) {
    this.#table = table;
    this.#now = now;
  }

  /** Throws `rate-limited` (429) if the rate of the user, the tenant or the process is exhausted. */
  take(identity: Pick<Identity, "tenant_id" | "user_key">, size_bytes: number): void {
    const now_ms = this.#now();
    const key = `${identity.tenant_id}\n${identity.user_key}`;
    const rates = this.#askers.get(key)?.rates ?? this.#table.open(identity, now_ms);
    this.#askers.delete(key);
    this.#askers.set(key, { rates, asked_ms: now_ms });
    this.#forget(now_ms);
    const too_fast = rates.take(size_bytes, now_ms);
    if (too_fast !== undefined) throw too_fast;
  }

  #forget(now_ms: number): void {
    for (const [key, { rates, asked_ms }] of this.#askers) {
      if (this.#askers.size <= USERS_MAX && now_ms - asked_ms < IDLE_MS) return;
      this.#askers.delete(key);
      rates.close(now_ms);
    }
  }
}

/** The counters of messages without a socket, and their rates. */
export interface IngressContext {
  readonly stats: Pick<ShieldStats, "ingress_ops" | "ingress_bytes">;
  readonly tenants: Pick<TenantTable, "of">;
  readonly rates: Pick<HttpRates, "take">;
}

/**
 * Counts one message of this size as `op` of `shield_ingress_ops`, and takes it from its rates. Throws
 * `rate-limited` (429).
 */
export function takeIngress(
  { stats, tenants, rates }: IngressContext,
  identity: Pick<Identity, "tenant_id" | "user_key">,
  op: string,
  size_bytes: number,
): void {
  bump(stats.ingress_ops, op);
  stats.ingress_bytes += size_bytes;
  const tenant = tenants.of(identity.tenant_id);
  tenant.ingress_messages++;
  tenant.ingress_bytes += size_bytes;
  rates.take(identity, size_bytes);
}
