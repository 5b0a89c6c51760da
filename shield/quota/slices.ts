/**
 * The slices that one Shield has reserved of its tenants' quotas, and its next reservations. Plain arithmetic: time is
 * an argument, and nothing waits; `capability.ts` sends reservations to the server.
 */
import type { Amounts, Grant, Reservation } from "./bucket.ts";

interface SliceOptions {
  /** The quota of a tenant for one second. */
  readonly rateOf: (tenant_id: string) => Amounts;
  /** The interval of filling a slice, in ms. */
  readonly slice_ms: number;
  /** Timeout of an answer, in ms; the need of that time may be spent in advance. */
  readonly timeout_ms: number;
  /** The most tenants with a slice at a time. */
  readonly tenants_max: number;
}

/** Which of a tenant's quotas is used up, and when to retry. */
export interface Shortage {
  readonly unit: "messages" | "bytes";
  readonly retry_after_ms: number;
}

/** One amount in a slice, messages or bytes. */
interface Share {
  /** The tenant's quota for one second. */
  readonly rate: number;
  /** The most that the slice holds. */
  readonly full: number;
  /** The most that may be spent in advance, until the bucket is known to be empty. */
  readonly overdraft: number;
  /** The rest; below zero if some was spent in advance. */
  level: number;
  /** The demand of messages since the last reservation, including refused ones. */
  demand: number;
  /** The demand of one `slice_ms`, smoothed over the reservations so far. */
  recent: number;
  /** True if the bucket had less than requested. */
  empty: boolean;
}

interface Slice {
  readonly rate: Amounts;
  readonly messages: Share;
  readonly bytes: Share;
  retry_after_ms: number;
  asked_ms: number;
  used_ms: number;
}

const HELD_SLICES = 2;
/** A slice is dropped after this many `slice_ms` without use. */
const IDLE_SLICES = 20;

/** The slices of one Shield. */
export class Slices {
  readonly #options: SliceOptions;
  readonly #slices = new Map<string, Slice>();
  #untracked = 0;

  constructor(options: SliceOptions) {
    this.#options = options;
  }

  /** Clears all slices, since quotas have changed. */
  clear(): void {
    this.#slices.clear();
  }

  /** Restarts a tenant's slice if its quota has changed; returns whether it has. */
  renew(tenant_id: string): boolean {
    const { rate } = this.#slices.get(tenant_id) ?? {};
    const { messages, bytes } = this.#options.rateOf(tenant_id);
    if (rate === undefined || (rate.messages === messages && rate.bytes === bytes)) return false;
    return this.#slices.delete(tenant_id);
  }

  /** The number of tenants with a slice. */
  get size(): number {
    return this.#slices.size;
  }

  /** The number of messages that passed because too many tenants have slices. */
  get untracked(): number {
    return this.#untracked;
  }

  /**
   * Takes one message from both amounts or, if one of them is used up, from neither. Calls `ask` if a reservation
   * should be made early. A message larger than the rest leaves a debt.
   */
  take(
    tenant_id: string,
    size_bytes: number,
    now_ms: number,
    ask: () => void,
  ): Shortage | undefined {
    const slice = this.#slices.get(tenant_id) ?? this.#open(tenant_id, now_ms);
    if (slice === undefined) {
      this.#untracked++;
      return undefined;
    }
    const { messages, bytes } = slice;
    slice.used_ms = now_ms;
    messages.demand++;
    bytes.demand += size_bytes;
    const unit = isUsedUp(messages) ? "messages" : isUsedUp(bytes) ? "bytes" : undefined;
    if (unit !== undefined) {
      return { unit, retry_after_ms: Math.max(this.#options.slice_ms, slice.retry_after_ms) };
    }
    messages.level--;
    bytes.level -= size_bytes;
    if (isShort(messages) || isShort(bytes)) ask();
    return undefined;
  }

  /** The due reservations. Drops unused slices. */
  due(now_ms: number): Reservation[] {
    const reservations: Reservation[] = [];
    for (const [tenant_id, slice] of this.#slices) {
      const elapsed_ms = now_ms - slice.asked_ms;
      slice.asked_ms = now_ms;
      for (const share of [slice.messages, slice.bytes]) this.#learn(share, elapsed_ms);
      const debt = amounts(slice, owed);
      const is_owing = debt.messages > 0 || debt.bytes > 0;
      if (!is_owing && now_ms - slice.used_ms > IDLE_SLICES * this.#options.slice_ms) {
        this.#slices.delete(tenant_id);
        continue;
      }
      const wish = amounts(slice, wished);
      if (!is_owing && wish.messages === 0 && wish.bytes === 0) continue;
      reservations.push({ tenant_id, rate: slice.rate, debt, wish });
    }
    return reservations;
  }

  /** Applies the answer to a reservation of `due`. A lost answer needs no handling. */
  granted({ tenant_id, rate, debt, wish }: Reservation, { granted, retry_after_ms }: Grant): void {
    const slice = this.#slices.get(tenant_id);
    // A reservation for another quota does not apply.
    if (slice === undefined || slice.rate !== rate) return;
    for (const unit of ["messages", "bytes"] as const) {
      slice[unit].level += debt[unit] + granted[unit];
      slice[unit].empty = granted[unit] < wish[unit];
    }
    slice.retry_after_ms = retry_after_ms;
  }

  #open(tenant_id: string, now_ms: number): Slice | undefined {
    if (this.#slices.size >= this.#options.tenants_max) return undefined;
    const rate = this.#options.rateOf(tenant_id);
    const slice: Slice = {
      rate,
      messages: this.#share(rate.messages),
      bytes: this.#share(rate.bytes),
      retry_after_ms: 0,
      asked_ms: now_ms,
      used_ms: now_ms,
    };
    this.#slices.set(tenant_id, slice);
    return slice;
  }

  #share(rate: number): Share {
    const { slice_ms, timeout_ms } = this.#options;
    return {
      rate,
      full: Math.ceil((rate * HELD_SLICES * slice_ms) / 1_000),
      overdraft: Math.ceil((rate * (slice_ms + timeout_ms)) / 1_000),
      level: 0,
      demand: 0,
      recent: 0,
      empty: false,
    };
  }

  /** Updates the demand: follows an increase at once and a decrease by halves. */
  #learn(share: Share, elapsed_ms: number): void {
    const { slice_ms } = this.#options;
    const now = share.demand * slice_ms / Math.max(elapsed_ms, slice_ms / 4);
    share.recent = Math.max(now, share.recent / 2);
    share.demand = 0;
  }
}

function isUsedUp({ level, empty, overdraft }: Share): boolean {
  return level <= (empty ? 0 : -overdraft);
}

/** Whether the amount is used up while there may be more in the bucket. */
function isShort({ level, empty }: Share): boolean {
  return level <= 0 && !empty;
}

function owed({ level }: Share): number {
  return Math.max(0, -level);
}

/**
 * The amount to reserve. Zero while half of the target is available, so that a tenant with little traffic rarely
 * reserves.
 */
function wished({ level, recent, full }: Share): number {
  const wanted = Math.min(full, Math.ceil(recent * HELD_SLICES));
  const held = Math.max(0, level);
  return held > wanted / 2 ? 0 : wanted - held;
}

function amounts(slice: Slice, of: (share: Share) => number): Amounts {
  return { messages: of(slice.messages), bytes: of(slice.bytes) };
}
