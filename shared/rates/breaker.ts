/**
 * A circuit breaker for a module that keeps failing for a tenant. Pure: time is an argument. It counts consecutive
 * failures, and opens only if several senders have failed: `slowed_sender.ts` handles failures caused by one sender's
 * bytes. A refusal is not a failure.
 */
import { BoundedMap } from "../containers/bounded_map.ts";
import {
  createSender,
  forgivenBy,
  isForgiven,
  REFUSALS_BEFORE_CLOSE,
  senderFailed,
  senderRuns,
  senderSucceeded,
  senderWait,
  SLOWED_FROM,
  type SlowedSender,
} from "./slowed_sender.ts";

/** When a breaker opens, and for how long. */
export interface BreakerLimits {
  /** Consecutive failures that open the breaker. */
  readonly failures: number;
  readonly cool_down_ms: number;
}

/** The number of senders that have to fail consecutively; fewer if `failures` is smaller. */
export const SEVERAL_SENDERS = 3;
/** The most breakers of a process; the oldest is dropped first. */
const BREAKERS_MAX = 4_096;
/** The most senders of a process that are remembered for their faults, some 150 bytes each. */
const SENDERS_MAX = 16_384;
/** How long a failure without a responsible sender counts, in ms. */
const QUIET_MS = 30_000;

/** The caller of a module. */
export interface Asking {
  readonly tenant_id: string;
  /** The sender responsible for a failure. */
  readonly sender: string;
  /** Its identity when several senders have to fail. */
  readonly source: string;
  /** Whether the sender has its own connection. */
  readonly can_be_closed: boolean;
}

/** Why a module does not run for a sender now. */
export interface Hold {
  readonly fault: "breaker-open" | "sender-slowed";
  readonly retry_after_ms: number;
  /** True if the sender continues nevertheless, so that its connection has to be closed. */
  readonly closes?: true;
}

type AfterFailure = "opened" | "slowed" | undefined;

/** The breaker of one module of one tenant. */
interface Breaker {
  readonly tenant_id: string;
  readonly sha256: string;
  /** Consecutive failures, without those of already slowed senders. */
  failures: number;
  /** The sources that have failed in this row; at most the required number. */
  readonly sources: Set<string>;
  /** Whether a failure in this row was not caused by a sender. */
  has_own: boolean;
  /** When the next attempt of a sender without faults may run, in ms; 0 while the breaker is closed. */
  open_until_ms: number;
  /** The next attempt of senders that have failed, so that they do not use up the attempts of the others. */
  failed_until_ms: number;
  /** When all its failures have expired, in ms. */
  quiet_ms: number;
  /** The failed senders, the least recent failure first. */
  readonly senders: BoundedMap<string, SlowedSender>;
}

/** The breakers of a process. */
export interface Breakers {
  /** Why the module must not run for the sender now; undefined: it may run, and this counts as an attempt. */
  hold(asking: Asking, sha256: string, now_ms: number): Hold | undefined;
  /** Whether it could run without counting as an attempt, with no recent failures of the module or the sender. */
  isClear(asking: Asking, sha256: string, now_ms: number): boolean;
  /** Whether no module has failed for the tenant of late. */
  isQuiet(tenant_id: string): boolean;
  success(asking: Asking, sha256: string): void;
  /** Counts a failure; `is_own`: no sender answers for it. */
  failure(asking: Asking, sha256: string, now_ms: number, is_own?: boolean): AfterFailure;
  /** Forgets the breakers of a module. */
  forget(sha256: string): void;
  open(): { tenant_id: string; sha256: string }[];
  /** When the breaker of a module admits senders again, in ms; undefined: it is closed. */
  openUntil(tenant_id: string, sha256: string): number | undefined;
  readonly senders: number;
  /** How many senders were forgotten early because of the bound. */
  readonly senders_dropped: number;
}

function createBreaker(tenant_id: string, sha256: string): Breaker {
  return {
    tenant_id,
    sha256,
    failures: 0,
    sources: new Set<string>(),
    has_own: false,
    open_until_ms: 0,
    failed_until_ms: 0,
    quiet_ms: 0,
    senders: new BoundedMap(Infinity),
  };
}

/** Begins a cool-down; after it, a sender without faults may try, and after the same time again any other. */
function coolDown(breaker: Breaker, { cool_down_ms }: BreakerLimits, now_ms: number): void {
  breaker.open_until_ms = now_ms + cool_down_ms;
  breaker.failed_until_ms = now_ms + 2 * cool_down_ms;
}

/**
 * The remaining wait of a sender at an open breaker, in ms; 0: it may try, and the next sender only after its success
 * or another cool-down. Attempts of senders that have failed do not delay the others.
 */
function openFor(breaker: Breaker, has_failed: boolean, limits: BreakerLimits, now_ms: number) {
  if (breaker.open_until_ms === 0) return 0;
  const until_ms = has_failed ? breaker.failed_until_ms : breaker.open_until_ms;
  if (now_ms < until_ms) return until_ms - now_ms;
  if (has_failed) breaker.failed_until_ms = now_ms + 2 * limits.cool_down_ms;
  else coolDown(breaker, limits, now_ms);
  return 0;
}

/** Why an operation does not run now, of a module that has failed of late; undefined: it runs, as an attempt. */
function holdOf(
  breaker: Breaker,
  asking: Asking,
  limits: BreakerLimits,
  now_ms: number,
): Hold | undefined {
  const slowed = breaker.senders.get(asking.sender);
  const wait_ms = slowed === undefined ? 0 : senderWait(slowed, now_ms);
  if (slowed !== undefined && wait_ms > 0) {
    const hold = { fault: "sender-slowed", retry_after_ms: Math.ceil(wait_ms) } as const;
    const closes = asking.can_be_closed && slowed.refused > REFUSALS_BEFORE_CLOSE;
    return closes ? { ...hold, closes } : hold;
  }
  if (breaker.open_until_ms !== 0) {
    const has_failed = breaker.sources.has(asking.source) ||
      slowed !== undefined && !isForgiven(slowed, now_ms);
    const open_ms = openFor(breaker, has_failed, limits, now_ms);
    if (open_ms > 0) return { fault: "breaker-open", retry_after_ms: Math.ceil(open_ms) };
  }
  if (slowed !== undefined) senderRuns(slowed, now_ms);
  return undefined;
}

/** Counts a failure in the row. Returns whether that opened the breaker. */
function breakerFailed(breaker: Breaker, limits: BreakerLimits, now_ms: number): boolean {
  breaker.failures++;
  const several = Math.min(SEVERAL_SENDERS, limits.failures);
  const is_several = breaker.has_own || breaker.sources.size >= several;
  const was_open = breaker.open_until_ms !== 0;
  if (!was_open && (breaker.failures < limits.failures || !is_several)) return false;
  coolDown(breaker, limits, now_ms);
  return !was_open;
}

/** Counts a failure caused by a sender, for the sender and in the row. */
function senderFailedIn(
  breaker: Breaker,
  slowed: SlowedSender,
  source: string,
  limits: BreakerLimits,
  now_ms: number,
): AfterFailure {
  const is_first = slowed.faults === 0;
  senderFailed(slowed, now_ms);
  breaker.quiet_ms = Math.max(breaker.quiet_ms, forgivenBy(slowed));
  if (breaker.open_until_ms !== 0 && !is_first) {
    breaker.failed_until_ms = now_ms + 2 * limits.cool_down_ms;
  } else if (slowed.faults <= SLOWED_FROM) {
    if (breaker.sources.size < SEVERAL_SENDERS) breaker.sources.add(source);
    if (breakerFailed(breaker, limits, now_ms)) return "opened";
  }
  return slowed.faults === SLOWED_FROM ? "slowed" : undefined;
}

/** The breakers by tenant and module, within a bound, and how many senders they know. */
class Known {
  readonly #by_tenant = new Map<string, Map<string, Breaker>>();
  /** In the order of creation. */
  readonly #all = new Set<Breaker>();
  readonly #breakers_max: number;
  readonly #senders_max: number;
  senders = 0;
  dropped = 0;

  constructor(breakers_max: number, senders_max: number) {
    this.#breakers_max = breakers_max;
    this.#senders_max = senders_max;
  }

  has(tenant_id: string): boolean {
    return this.#by_tenant.has(tenant_id);
  }

  get(tenant_id: string, sha256: string): Breaker | undefined {
    return this.#by_tenant.get(tenant_id)?.get(sha256);
  }

  /** The breaker, unless all its failures have expired: then it is dropped. */
  loud(tenant_id: string, sha256: string, now_ms: number): Breaker | undefined {
    const breaker = this.get(tenant_id, sha256);
    if (breaker === undefined || breaker.open_until_ms !== 0 || now_ms < breaker.quiet_ms) {
      return breaker;
    }
    this.remove(breaker);
    return undefined;
  }

  all(): readonly Breaker[] {
    return [...this.#all];
  }

  make(tenant_id: string, sha256: string): Breaker {
    const breaker = createBreaker(tenant_id, sha256);
    const modules = this.#by_tenant.get(tenant_id) ?? new Map<string, Breaker>();
    this.#by_tenant.set(tenant_id, modules.set(sha256, breaker));
    this.#all.add(breaker);
    const [oldest] = this.#all;
    if (this.#all.size > this.#breakers_max && oldest !== undefined) this.remove(oldest);
    return breaker;
  }

  remove(breaker: Breaker): void {
    if (!this.#all.delete(breaker)) return;
    this.senders -= breaker.senders.size;
    const modules = this.#by_tenant.get(breaker.tenant_id);
    modules?.delete(breaker.sha256);
    if (modules?.size === 0) this.#by_tenant.delete(breaker.tenant_id);
  }

  /** Records a sender as the last failed one. */
  sender({ senders }: Breaker, key: string, now_ms: number): SlowedSender {
    const known = senders.use(key);
    if (known !== undefined) return known;
    if (this.senders >= this.#senders_max) this.#dropSender(now_ms);
    const made = createSender(now_ms);
    senders.set(key, made);
    this.senders++;
    return made;
  }

  /** Drops the oldest sender of the breaker with the most, so that no tenant evicts another's. */
  #dropSender(now_ms: number): void {
    let most: Breaker | undefined;
    for (const breaker of this.#all) {
      if (most === undefined || breaker.senders.size > most.senders.size) most = breaker;
    }
    const dropped = most?.senders.dropOldest();
    if (dropped === undefined) return;
    this.senders--;
    if (!isForgiven(dropped, now_ms)) this.dropped++;
  }
}

/** Creates the breakers. A breaker whose faults are all forgiven is dropped at its next use. */
export function createBreakers(
  limits: BreakerLimits,
  most = { breakers: BREAKERS_MAX, senders: SENDERS_MAX },
): Breakers {
  const known = new Known(most.breakers, most.senders);
  return {
    hold(asking, sha256, now_ms) {
      const breaker = known.loud(asking.tenant_id, sha256, now_ms);
      return breaker === undefined ? undefined : holdOf(breaker, asking, limits, now_ms);
    },
    isClear(asking, sha256, now_ms) {
      const breaker = known.loud(asking.tenant_id, sha256, now_ms);
      if (breaker === undefined) return true;
      return breaker.failures === 0 && breaker.senders.get(asking.sender) === undefined;
    },
    isQuiet: (tenant_id) => !known.has(tenant_id),
    success(asking, sha256) {
      const breaker = known.get(asking.tenant_id, sha256);
      if (breaker === undefined) return;
      breaker.failures = breaker.open_until_ms = 0;
      breaker.has_own = false;
      breaker.sources.clear();
      const slowed = breaker.senders.get(asking.sender);
      if (slowed !== undefined) senderSucceeded(slowed);
    },
    failure({ tenant_id, sender, source }, sha256, now_ms, is_own = false) {
      const breaker = known.get(tenant_id, sha256) ?? known.make(tenant_id, sha256);
      if (!is_own) {
        const slowed = known.sender(breaker, sender, now_ms);
        return senderFailedIn(breaker, slowed, source, limits, now_ms);
      }
      breaker.quiet_ms = Math.max(breaker.quiet_ms, now_ms + QUIET_MS);
      breaker.has_own = true;
      return breakerFailed(breaker, limits, now_ms) ? "opened" : undefined;
    },
    forget(sha256) {
      for (const breaker of known.all()) if (breaker.sha256 === sha256) known.remove(breaker);
    },
    open: () =>
      known.all().filter((breaker) => breaker.open_until_ms > 0)
        .map(({ tenant_id, sha256 }) => ({ tenant_id, sha256 })),
    openUntil: (tenant_id, sha256) => known.get(tenant_id, sha256)?.open_until_ms || undefined,
    get senders() {
      return known.senders;
    },
    get senders_dropped() {
      return known.dropped;
    },
  };
}
