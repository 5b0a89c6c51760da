/**
 * Which tenants have chains that run long. A thread cannot be taken from a guest in the middle of a
 * call, so whoever shares one with calls of milliseconds waits for milliseconds, however fair the
 * turns are; the pool gives such tenants a thread of their own together. Pure: time is an argument.
 * Judged by fuel and not by a clock, so that a busy machine makes nobody slow.
 */
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";

/** A chain that burns more, instances included, is long: 1,000 are at most half a millisecond. */
export const LONG_FUEL = 1_000;
/** Long chains after which a tenant is slow: some are normal, where instances are made. */
const SLOW_ABOVE = 8;
/** Most that are counted, so that nobody stays slow much longer than others. */
const COUNTED = 16;
/** So long it takes until one of them is forgotten. */
const FORGET_MS = 5_000;
/** Tenants that are remembered; whose last long chain is longest ago goes first. */
const TENANTS_MAX = 4_096;

interface Account {
  /** Long chains that are not forgotten. */
  long: number;
  updated_ms: number;
  is_slow: boolean;
}

/** What is known of tenants. */
export interface Pace {
  /** Counts a chain that was long. */
  long(tenant_id: string, now_ms: number): void;
  /** A tenant that was slow stays so until nearly all its long chains are forgotten. */
  isSlow(tenant_id: string, now_ms: number): boolean;
}

/** Nobody is slow. */
export function createPace(): Pace {
  const accounts = new BoundedMap<string, Account>(TENANTS_MAX);

  function update(account: Account, now_ms: number): void {
    const elapsed_ms = Math.max(now_ms - account.updated_ms, 0);
    account.long = Math.max(account.long - elapsed_ms / FORGET_MS, 0);
    account.updated_ms = now_ms;
    if (account.long > SLOW_ABOVE) account.is_slow = true;
    else if (account.long < 1) account.is_slow = false;
  }

  return {
    long(tenant_id, now_ms) {
      const fresh = { long: 0, updated_ms: now_ms, is_slow: false };
      const account = accounts.get(tenant_id) ?? fresh;
      accounts.renew(tenant_id, account);
      update(account, now_ms);
      account.long = Math.min(account.long + 1, COUNTED);
      update(account, now_ms);
    },
    isSlow(tenant_id, now_ms) {
      const account = accounts.get(tenant_id);
      if (account === undefined) return false;
      update(account, now_ms);
      return account.is_slow;
    },
  };
}
