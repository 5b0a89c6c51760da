/**
 * Who may use a key of state now: one worker at a time, which runs the calls that share the key one after
 * another, in the order in which it got them. A call that shares a key with one under way at another worker
 * waits until that one is done; a call with several keys waits until it may have all of them, and holds none
 * until then, so that no two wait for each other. Knows no rings and no values but what the store has.
 */
import type { SlotValue } from "./held_values.ts";
import type { StateRef, StateStore } from "./state_store.ts";

/** A value that goes along with a call. */
export interface HeldValue {
  /** The number by which the worker knows the key, for as long as it holds it. */
  readonly hold: number;
  /** Null: there is none. Undefined: the worker has it, from the call before. */
  readonly value: Uint8Array | null | undefined;
}

/** What goes along with the request of a chain. */
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
  /** True when nobody waits for it any longer. */
  readonly done: boolean;
}

/** The hold of one worker on one key. */
interface Hold {
  readonly owner: LaneHolds;
  readonly number: number;
  /** How many calls with the key are under way. */
  calls: number;
  /** Whether the store had a value when the worker was last known to have the same one. */
  had_value: boolean;
}

/** A call at the head of its lane that has to wait. */
interface Claim {
  readonly number: number;
  readonly keys: readonly string[];
  readonly since_ms: number;
}

/** What the holds of a process need. */
export interface KeyHoldsOptions {
  readonly store: StateStore;
  /** Monotonic ms. */
  readonly now: () => number;
  /** Called when calls that waited may be able to go; not from within one of these methods' callers. */
  readonly onFreed: () => void;
  /** Called with how long a call has waited for its keys. */
  readonly onWaited: (waited_ms: number) => void;
}

/** A text that was made once for all look-ups is hashed once. */
const nameOf = ({ place }: StateRef): string => place;
const NO_KEYS: readonly never[] = [];
const hasSlots = (chain: readonly SlottedEntry[]): boolean =>
  chain.some(({ slots }) => slots !== undefined);
const refsOf = (chain: readonly SlottedEntry[]): StateRef[] =>
  chain.flatMap(({ slots }) => slots ?? NO_KEYS);

/** Keeps what a chain has written, from now on. */
export function keepWritten(
  { store, now }: Pick<KeyHoldsOptions, "store" | "now">,
  chain: readonly SlottedEntry[],
  written: readonly SlotValue[],
): void {
  for (const { place, slot, value } of written) {
    const ref = chain[place]?.slots?.[slot];
    if (ref !== undefined) store.set(ref, value, now());
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

  /** How many keys some worker holds. */
  get size(): number {
    return this.held.size;
  }

  /** Whether no worker holds any of the keys, and none waits for one: this thread may use them at once. */
  isFree(keys: readonly StateRef[]): boolean {
    if (this.held.size === 0 && this.claimed.size === 0) return true;
    return keys.every((ref) => {
      const name = nameOf(ref);
      return !this.held.has(name) && !this.claimed.has(name);
    });
  }

  /** The holds of a new worker. */
  lane(): LaneHolds {
    return new LaneHolds(this);
  }

  /** Takes note that a call does not wait any longer, whatever its outcome. */
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

  /** Takes note that a call has to wait. */
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

  /** Adds a call to the owner's hold on a key, which begins with it if need be. */
  hold(name: string, owner: LaneHolds): { readonly hold: Hold; readonly is_new: boolean } {
    const known = this.held.get(name);
    if (known !== undefined) {
      known.calls++;
      return { hold: known, is_new: false };
    }
    // Numbers are compared by one worker only, which has few at a time.
    this.#last_hold = (this.#last_hold + 1) >>> 0;
    const hold = { owner, number: this.#last_hold, calls: 1, had_value: false };
    this.held.set(name, hold);
    return { hold, is_new: true };
  }

  /**
   * Whether the worker may have a value whose time is over, or for which there was no room: such a hold
   * takes no more calls, however many come, and ends with those that are under way.
   */
  isOver({ had_value }: Hold, ref: StateRef): boolean {
    const { store, now } = this.options;
    return had_value && store.get(ref, now()) === undefined;
  }
}

/** The holds of one worker. */
export class LaneHolds {
  readonly #all: KeyHolds;
  /** The keys of calls that were taken since `begin`, while others waited for some. */
  readonly #taken = new Set<string>();
  /** The holds that ended since they were last told. */
  #ended: number[] = [];

  constructor(all: KeyHolds) {
    this.#all = all;
  }

  /** Begins to take calls: those that share a key with one that is taken may go with it. */
  begin(): void {
    // A set that is cleared is given a new table, though it was empty.
    if (this.#taken.size > 0) this.#taken.clear();
  }

  /**
   * Whether a call, the next of its tenant at this worker, may go now. One that may not has a claim from
   * then on: calls of other workers that come later do not get its keys before it.
   */
  mayTake(user: KeyUser): boolean {
    const all = this.#all;
    if (user.state === undefined || user.done) return true;
    const { keys } = user.state;
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

  /** Takes the keys of a chain that goes to the worker now; undefined for one without state. */
  take(chain: readonly SlottedEntry[]): ChainValues | undefined {
    if (!hasSlots(chain)) return undefined;
    const { store, now } = this.#all.options;
    const values = refsOf(chain).map((ref) => {
      const { hold, is_new } = this.#all.hold(nameOf(ref), this);
      if (!is_new) return { hold: hold.number, value: undefined };
      const value = store.get(ref, now()) ?? null;
      hold.had_value = value !== null;
      return { hold: hold.number, value };
    });
    const ended = this.#ended;
    this.#ended = [];
    return { values, ended };
  }

  /** Keeps what a chain has written, and gives its keys back. */
  replied(chain: readonly SlottedEntry[], written: readonly SlotValue[]): void {
    if (!hasSlots(chain)) return;
    keepWritten(this.#all.options, chain, written);
    for (const { place, slot, value } of written) {
      const ref = chain[place]?.slots?.[slot];
      const hold = ref && this.#all.held.get(nameOf(ref));
      if (hold !== undefined) hold.had_value = value !== null;
    }
    this.#giveBack(chain);
  }

  /** Gives back the keys of chains that were lost with their worker; another takes its place. */
  lost(chains: Iterable<readonly SlottedEntry[]>): void {
    for (const chain of chains) if (hasSlots(chain)) this.#giveBack(chain);
    this.#ended = [];
  }

  /** Gives back the keys of a chain that was not sent after all, with what `take` gave for it. */
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

  /** Whether no other worker has the key, and this one, where it has it, may go on with it. */
  #isHere(ref: StateRef): boolean {
    const hold = this.#all.held.get(nameOf(ref));
    return hold === undefined || (hold.owner === this && !this.#all.isOver(hold, ref));
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
