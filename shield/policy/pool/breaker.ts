/**
 * Cuts off a module that keeps failing for a tenant. Pure: time is an argument. It counts failures
 * in a row, not a rate, so that one user's bad messages between good ones of others never cut off
 * the policy for all. A refusal is no failure.
 */
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";

/** When a breaker opens, and for how long. */
export interface BreakerLimits {
  /** How many failures in a row open the breaker. */
  readonly failures: number;
  readonly cool_down_ms: number;
}

/** The breaker of one module of one tenant. */
export interface Breaker {
  failures: number;
  /** When the next attempt may run, in ms; 0 while the breaker is closed. */
  open_until_ms: number;
}

/** A closed breaker. */
export function createBreaker(): Breaker {
  return { failures: 0, open_until_ms: 0 };
}

/**
 * Whether a call may run. After the cool-down one attempt may run, and the next only when that one has
 * succeeded or another cool-down has passed, so that an attempt without an answer does not keep the
 * breaker open for ever.
 */
export function breakerAllows(breaker: Breaker, limits: BreakerLimits, now_ms: number): boolean {
  if (breaker.open_until_ms === 0) return true;
  if (now_ms < breaker.open_until_ms) return false;
  breaker.open_until_ms = now_ms + limits.cool_down_ms;
  return true;
}

/** Counts a failure of the module. Returns true when it opened the breaker. */
export function breakerFailure(breaker: Breaker, limits: BreakerLimits, now_ms: number): boolean {
  breaker.failures++;
  if (breaker.failures < limits.failures) return false;
  const opened = breaker.open_until_ms === 0;
  breaker.open_until_ms = now_ms + limits.cool_down_ms;
  return opened;
}

/** The breakers of a process. */
export interface Breakers {
  allows(tenant_id: string, sha256: string, now_ms: number): boolean;
  /** Whether the module has not failed for the tenant since its last success. */
  isClosed(tenant_id: string, sha256: string): boolean;
  /** True when no module has failed for anybody since its last success. */
  readonly isEmpty: boolean;
  success(tenant_id: string, sha256: string): void;
  /** Counts a failure. Returns true when it opened the breaker. */
  failure(tenant_id: string, sha256: string, now_ms: number): boolean;
  /** Forgets the breakers of a module. */
  forget(sha256: string): void;
  open(): { tenant_id: string; sha256: string }[];
}

/**
 * Makes the breakers. Only those with a failure since the last success are kept, at most `max`; the
 * oldest goes first.
 */
export function createBreakers(limits: BreakerLimits, max = 4_096): Breakers {
  const breakers = new BoundedMap<string, Breaker & { tenant_id: string; sha256: string }>(max);
  const key = (tenant_id: string, sha256: string) => `${sha256} ${tenant_id}`;
  return {
    allows(tenant_id, sha256, now_ms) {
      const breaker = breakers.size === 0 ? undefined : breakers.get(key(tenant_id, sha256));
      return breaker === undefined || breakerAllows(breaker, limits, now_ms);
    },
    isClosed: (tenant_id, sha256) => breakers.get(key(tenant_id, sha256)) === undefined,
    get isEmpty() {
      return breakers.size === 0;
    },
    success(tenant_id, sha256) {
      if (breakers.size > 0) breakers.delete(key(tenant_id, sha256));
    },
    failure(tenant_id, sha256, now_ms) {
      const name = key(tenant_id, sha256);
      let breaker = breakers.get(name);
      if (breaker === undefined) {
        breaker = { ...createBreaker(), tenant_id, sha256 };
        breakers.set(name, breaker);
      }
      return breakerFailure(breaker, limits, now_ms);
    },
    forget(sha256) {
      for (const [name, breaker] of breakers) if (breaker.sha256 === sha256) breakers.delete(name);
    },
    open: () =>
      [...breakers.values()].filter((breaker) => breaker.open_until_ms > 0)
        .map(({ tenant_id, sha256 }) => ({ tenant_id, sha256 })),
  };
}
