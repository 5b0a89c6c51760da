/**
 * The holder of each key of state: one worker at a time, which runs the calls that share the key one after another, in
 * the order in which it got them. A call that shares a key with a running call at another worker waits for its end; a
 * call with several keys waits until it may have all of them, and holds none until then, so that no two wait for each
 * other. Knows no rings and no values but what the store has.
 */
import type { SlotValue } from "./held_values.ts";
import type { StateRef, StateStore } from "./state_store.ts";

/** A value that is sent with a call. */
interface HeldValue {
  /** The worker's number for the key, for as long as it holds it. */
  readonly hold: number;
  /** Null: there is none. Undefined: the worker has it from the previous call. */
  readonly value: Uint8Array | null | undefined;
}

/** The values that are sent with the request of a chain. */
export interface ChainValues {
  /** The values of all slots of the chain's policies, in order. */
  readonly values: readonly HeldValue[];
  /** The holds of this worker that have ended. */
  readonly ended: readonly number[];
}

/** A policy of a chain that goes to a worker. */
interface SlottedEntry {
  /** The places of its values, by slot; absent without state. */
  readonly slots?: readonly StateRef[];
}

/** A call that may have to wait for its keys. */
export interface KeyUser {
  /** All keys that it may use; undefined for a call without state. */
  readonly state: { readonly keys: readonly StateRef[] } | undefined;
  /** True when it is no longer awaited. */
  readonly done: boolean;
}

/** The hold of one worker on one key. */
interface Hold {
  readonly owner: LaneHolds;
  readonly number: number;
  calls: number;
  /** Whether the store had a value when the worker last had the same value. */
  had_value: boolean;
}

/** A call at the head of its lane that has to wait. */
interface Claim {
  readonly number: number;
  readonly keys: readonly string[];
  readonly since_ms: number;
}

interface KeyHoldsOptions {
  readonly store: StateStore;
  /** Monotonic ms. */
  readonly now: () => number;
  /** Called when waiting calls may go, but not during a call of one of these methods. */
  readonly onFreed: () => void;
  /** Called with the time that a call has waited for its keys. */
  readonly onWaited: (waited_ms: number) => void;
}

/** The engine hashes a text once if it is the same object in all lookups. */
const nameOf = ({ place }: StateRef): string => place;
const NO_KEYS: readonly never[] = [];
const isSlotted = ({ slots }: SlottedEntry): boolean => slots !== undefined;
/** Whether a chain has state. */
export const hasSlots = (chain: readonly SlottedEntry[]): boolean => chain.some(isSlotted);
/** The places of a chain's values. Most chains have one policy, which needs no list of its own. */
export const refsOf = (chain: readonly SlottedEntry[]): readonly StateRef[] =>
  chain.length === 1 ? chain[0]!.slots ?? NO_KEYS : chain.flatMap(({ slots }) => slots ?? NO_KEYS);

/** Stores what a chain has written. */
export function keepWritten(
  store: StateStore,
  chain: readonly SlottedEntry[],
  written: readonly SlotValue[],
  now_ms: number,
): void {
  for (const { place, slot, value } of written) {
    const ref = chain[place]?.slots?.[slot];
    if (ref !== undefined) store.set(ref, value, now_ms);
  }
}

/** The holds of all workers on the keys of one process. */
export class KeyHolds {
  readonly options: KeyHoldsOptions;
  readonly held = new Map<string, Hold>();
  /** The claims on each key, the oldest first. */
  readonly claimed = new Map<string, Claim[]>();
  readonly claims = new WeakMap<KeyUser, Claim>();
  #last_claim = 0;
  #last_hold = 0;

  constructor(options: KeyHoldsOptions) {
    this.options = options;
  }

  /** The number of keys that workers hold. */
  get size(): number {
    return this.held.size;
  }

  /** Whether no worker holds any of the keys or waits for one, so that this thread may use them at once. */
  isFree(keys: readonly StateRef[]): boolean {
    if (this.held.size === 0 && this.claimed.size === 0) return true;
    return keys.every((ref) => {
      const name = nameOf(ref);
      return !this.held.has(name) && !this.claimed.has(name);
    });
  }

  lane(): LaneHolds {
    return new LaneHolds(this);
  }

  /** Removes the claim of a call that no longer waits, for any reason. */
  forget(user: KeyUser): void {
    const claim = user.state === undefined ? undefined : this.claims.get(user);
    if (claim === undefined) return;
    this.claims.delete(user);
    let others = false;
    for (const name of claim.keys) {
      const left = this.claimed.get(name)?.filter((one) => one !== claim) ?? [];
      if (left.length > 0) this.claimed.set(name, left);
      else this.claimed.delete(name);
      others ||= left.length > 0;
    }
    if (others) this.options.onFreed();
  }

  /** Records that a call has to wait. */
  claim(user: KeyUser, keys: readonly string[]): void {
    if (this.claims.has(user)) return;
    const claim = { number: ++this.#last_claim, keys, since_ms: this.options.now() };
    this.claims.set(user, claim);
    for (const name of keys) {
      const before = this.claimed.get(name);
      if (before === undefined) this.claimed.set(name, [claim]);
      else before.push(claim);
    }
  }

  /** Adds a call to the owner's hold on a key. The hold begins with it if there is none. */
  hold(name: string, owner: LaneHolds): { readonly hold: Hold; readonly is_new: boolean } {
    const known = this.held.get(name);
    if (known !== undefined) {
      known.calls++;
      return { hold: known, is_new: false };
    }
    // Only one worker compares numbers, and it has few at a time.
    this.#last_hold = (this.#last_hold + 1) >>> 0;
    const hold = { owner, number: this.#last_hold, calls: 1, had_value: false };
    this.held.set(name, hold);
    return { hold, is_new: true };
  }

  /**
   * Whether the worker may have an expired value, or one that was dropped for room. Such a hold takes no more calls,
   * and ends with the running ones.
   */
  isOver({ had_value }: Hold, ref: StateRef, now_ms: number): boolean {
    return had_value && this.options.store.get(ref, now_ms) === undefined;
  }
}

/** The holds of one worker. */
export class LaneHolds {
  readonly #all: KeyHolds;
  /** The keys of calls that were taken since `begin` while others waited. */
  readonly #taken = new Set<string>();
  /** The ended holds that were not reported yet. */
  #ended: number[] = [];
  /** The time since `begin`, read once for all calls that go together. */
  #now_ms: number | undefined;

  constructor(all: KeyHolds) {
    this.#all = all;
  }

  /** Begins to take calls, at `now_ms` if that is known. Calls that share a key with a taken one may go with it. */
  begin(now_ms?: number): void {
    this.#now_ms = now_ms;
    // Clearing a set allocates a new table, even if it was empty.
    if (this.#taken.size > 0) this.#taken.clear();
  }

  /**
   * Whether a call, the next of its tenant at this worker, may go now. If it may not, it gets a claim: later calls of
   * other workers do not get its keys before it.
   */
  mayTake(user: KeyUser): boolean {
    return user.state === undefined || user.done || this.#mayTake(user, user.state.keys);
  }

  /** A separate function because of its closures, for which calls without state would pay. */
  #mayTake(user: KeyUser, keys: readonly StateRef[]): boolean {
    const all = this.#all;
    if (all.claimed.size === 0 && keys.every((ref) => this.#isHere(ref))) return true;
    const names = keys.map(nameOf);
    const own = all.claims.get(user);
    if (!keys.every((ref) => this.#mayHave(ref, own))) {
      all.claim(user, names);
      return false;
    }
    if (all.claimed.size > 0) { for (const name of names) this.#taken.add(name); }
    if (own !== undefined) all.options.onWaited(all.options.now() - own.since_ms);
    all.forget(user);
    return true;
  }

  /** Takes the keys of a chain that goes to the worker now; undefined for a chain without state. */
  take(chain: readonly SlottedEntry[]): ChainValues | undefined {
    return hasSlots(chain) ? this.#take(chain) : undefined;
  }

  #take(chain: readonly SlottedEntry[]): ChainValues {
    const values = refsOf(chain).map((ref) => {
      const { hold, is_new } = this.#all.hold(nameOf(ref), this);
      if (!is_new) return { hold: hold.number, value: undefined };
      const value = this.#all.options.store.get(ref, this.#now()) ?? null;
      hold.had_value = value !== null;
      return { hold: hold.number, value };
    });
    const ended = this.#ended;
    this.#ended = [];
    return { values, ended };
  }

  #now(): number {
    return this.#now_ms ??= this.#all.options.now();
  }

  /** Stores what a chain has written, and releases its keys; `now_ms` is the present time. */
  replied(chain: readonly SlottedEntry[], written: readonly SlotValue[], now_ms: number): void {
    if (!hasSlots(chain)) return;
    keepWritten(this.#all.options.store, chain, written, now_ms);
    for (const { place, slot, value } of written) {
      const ref = chain[place]?.slots?.[slot];
      const hold = ref && this.#all.held.get(nameOf(ref));
      if (hold !== undefined) hold.had_value = value !== null;
    }
    this.#giveBack(chain);
  }

  /** Releases the keys of chains that were lost with their worker; another worker takes its place. */
  lost(chains: Iterable<readonly SlottedEntry[]>): void {
    for (const chain of chains) if (hasSlots(chain)) this.#giveBack(chain);
    this.#ended = [];
  }

  /** Releases the keys of a chain that was not sent, with the result of `take` for it. */
  unsent(chain: readonly SlottedEntry[], values: ChainValues | undefined): void {
    if (values === undefined) return;
    this.#ended.push(...values.ended);
    this.#giveBack(chain);
  }

  #giveBack(chain: readonly SlottedEntry[]): void {
    const all = this.#all;
    let freed = false;
    for (const ref of refsOf(chain)) {
      const name = nameOf(ref);
      const hold = all.held.get(name);
      if (hold === undefined || --hold.calls > 0) continue;
      all.held.delete(name);
      this.#ended.push(hold.number);
      freed ||= all.claimed.has(name);
    }
    if (freed) all.options.onFreed();
  }

  /** Whether no other worker has the key, and this one may continue with it if it has it. */
  #isHere(ref: StateRef): boolean {
    const hold = this.#all.held.get(nameOf(ref));
    return hold === undefined || (hold.owner === this && !this.#all.isOver(hold, ref, this.#now()));
  }

  /** Whether this worker has the key, or may get it before those that wait for it. */
  #mayHave(ref: StateRef, own: Claim | undefined): boolean {
    if (!this.#isHere(ref)) return false;
    const name = nameOf(ref);
    if (this.#taken.has(name)) return true;
    const [oldest] = this.#all.claimed.get(name) ?? NO_KEYS;
    return oldest === undefined || oldest === own;
  }
}
