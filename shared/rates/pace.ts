/**
 * Detects tenants whose chains of policies, or commands of reducers, run long. A thread cannot interrupt a guest within
 * a call, so a tenant that shares a thread with calls of milliseconds waits for milliseconds, however fair the turns
 * are. Callers decide what follows. Pure: time is an argument. It uses fuel instead of a clock, so that a busy machine
 * makes no tenant slow.
 */
import { BoundedMap } from "../containers/bounded_map.ts";

/** A chain that burns more fuel than this, instances included, is long: 1,000 are at most half a millisecond. */
export const LONG_FUEL = 1_000;
/** The number of long chains above which a tenant is slow: some are normal when instances are created. */
const SLOW_ABOVE = 8;
/** The most long chains that are counted, so that no tenant stays slow much longer than others. */
const COUNTED = 16;
/** The time after which one long chain is forgotten, in ms. */
const FORGET_MS = 5_000;
/** The most remembered tenants; the one with the oldest last long chain is dropped first. */
const TENANTS_MAX = 4_096;

interface Account {
  /** The long chains that are not forgotten yet. */
  long: number;
  updated_ms: number;
  is_slow: boolean;
}

/** The pace of tenants. */
export interface Pace {
  /** How many tenants are slow. */
  slow(now_ms: number): number;
  /** Counts a long chain of the tenant. */
  long(tenant_id: string, now_ms: number): void;
  /** Whether the tenant is slow. It stays slow until nearly all its long chains are forgotten. */
  isSlow(tenant_id: string, now_ms: number): boolean;
}

/** Creates a pace without slow tenants. */
export function createPace(): Pace {
  const accounts = new BoundedMap<string, Account>(TENANTS_MAX);

  function update(account: Account, now_ms: number): void {
    const elapsed_ms = Math.max(now_ms - account.updated_ms, 0);
    account.long = Math.max(account.long - elapsed_ms / FORGET_MS, 0);
    account.updated_ms = now_ms;
    if (account.long > SLOW_ABOVE) account.is_slow = true;
    else if (account.long < 1) account.is_slow = false;
  }

  const isSlow = (account: Account | undefined, now_ms: number): boolean => {
    if (account === undefined) return false;
    update(account, now_ms);
    return account.is_slow;
  };

  return {
    slow: (now_ms) => [...accounts].filter(([, account]) => isSlow(account, now_ms)).length,
    long(tenant_id, now_ms) {
      const fresh = { long: 0, updated_ms: now_ms, is_slow: false };
      const account = accounts.get(tenant_id) ?? fresh;
      accounts.renew(tenant_id, account);
      update(account, now_ms);
      account.long = Math.min(account.long + 1, COUNTED);
      update(account, now_ms);
    },
    isSlow: (tenant_id, now_ms) => isSlow(accounts.get(tenant_id), now_ms),
  };
}
