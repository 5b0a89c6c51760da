/**
 * Optimistic calls: the reducer also runs in the client, and the room's decision corrects wrong predictions. `Rebase`
 * combines predictions and values, `guest.ts` runs a module.
 */
import { compareKeys, isSameValue, put, type WatchOptions } from "./watched_values.ts";
import type { ReadValue, ReducedValue, ValueChanges, WatchedValues } from "./watched_values.ts";
import { guess } from "./guest.ts";
import type { Guess, GuessedCall, GuessedValues, GuestModule } from "./guest.ts";
import type { Called, Calls, CallsOf, Given, ReducedRoom, RoomTypes } from "./calls.ts";
import type { ServedModule, ValuesOf } from "./calls.ts";

/** The most changes that are held back; above, the oldest is applied, whoever made it. */
const HELD_MAX = 1_000;

/** The outcome of a call: the entry whose changes will follow, or no visible change. */
type CallOutcome = { readonly entry: number } | "nothing";

interface Pending {
  readonly number: number;
  readonly guess: (values: GuessedValues) => Guess;
  /** Undefined: no answer yet. */
  entry: number | undefined;
}

interface Held {
  /** The number of the last call made before it arrived. */
  readonly number: number;
  readonly version: number;
  readonly changes: ValueChanges;
}

/** The values of a room, and the predictions of own calls on top of them. */
export class Rebase {
  readonly #confirmed = new Map<string, ReducedValue>();
  #version = 0;
  #pending: Pending[] = [];
  #held: Held[] = [];
  #guessed = new Map<string, ReducedValue | undefined>();
  #last = 0;

  /** The number of unconfirmed calls. */
  get pending(): number {
    return this.#pending.length;
  }

  /** The entry of the values below the predictions. */
  get version(): number {
    return this.#version;
  }

  read(key: string): ReducedValue | undefined {
    return this.#guessed.has(key) ? this.#guessed.get(key) : this.#confirmed.get(key);
  }

  /** Keys that have a value, in no order. */
  *keys(): Iterable<string> {
    for (const key of this.#confirmed.keys()) if (!this.#guessed.has(key)) yield key;
    for (const [key, value] of this.#guessed) if (value !== undefined) yield key;
  }

  /** Adds a call; returns its number and its predicted changes. */
  call(guess: (values: GuessedValues) => Guess): { number: number; changes: ValueChanges } {
    const number = ++this.#last;
    this.#pending.push({ number, guess, entry: undefined });
    return { number, changes: this.#guessAnew(new Map()) };
  }

  /** Applies the outcome of a call. */
  answered(number: number, outcome: CallOutcome): ValueChanges {
    const pending = this.#pending.find((one) => one.number === number);
    if (pending === undefined) return new Map();
    if (outcome !== "nothing" && outcome.entry > this.#version) pending.entry = outcome.entry;
    else this.#pending = this.#pending.filter((one) => one !== pending);
    return this.#guessAnew(this.#release());
  }

  /** Applies changes from the room. */
  confirmed(version: number, changes: ValueChanges): ValueChanges {
    this.#held.push({ number: this.#last, version, changes });
    return this.#guessAnew(this.#release());
  }

  /** Applies held changes that no longer wait for an answer; returns the previous values. */
  #release(): Map<string, ReducedValue | undefined> {
    const before = new Map<string, ReducedValue | undefined>();
    const open = this.#pending.find(({ entry }) => entry === undefined)?.number ?? Infinity;
    while (this.#held.length > 0) {
      if (this.#held[0]!.number >= open && this.#held.length <= HELD_MAX) break;
      const { version, changes } = this.#held.shift()!;
      for (const key of changes.keys()) if (!before.has(key)) before.set(key, this.read(key));
      put(this.#confirmed, changes);
      // Entries have restarted: earlier answers refer to none of them.
      if (version < this.#version) {
        this.#pending = this.#pending.filter(({ entry }) => entry === undefined);
      }
      this.#version = version;
    }
    this.#pending = this.#pending.filter(({ entry = Infinity }) => entry > this.#version);
    return before;
  }

  /** Predicts all calls again; returns the values that differ from before. */
  #guessAnew(before: Map<string, ReducedValue | undefined>): ValueChanges {
    const old = this.#guessed;
    this.#guessed = new Map();
    for (const { guess } of this.#pending) {
      for (const [key, value] of guess(this) ?? []) this.#guessed.set(key, value);
    }
    for (const key of [...old.keys(), ...this.#guessed.keys()]) {
      if (before.has(key)) continue;
      before.set(key, old.has(key) ? old.get(key) : this.#confirmed.get(key));
    }
    const changes = new Map<string, ReducedValue | undefined>();
    for (const [key, value] of before) {
      const now = this.read(key);
      if (!isSameValue(value, now)) changes.set(key, now);
    }
    return changes;
  }
}

/** Options of optimistic calls. */
export interface OptimisticOptions extends WatchOptions {
  /**
   * The room's module, compiled or as bytes of the file of `arq reducer build`. Absent: it is read from the bus, if the
   * room's class has `reducer_public`; that module is metered, so a prediction always terminates.
   */
  readonly module?: WebAssembly.Module | BufferSource;
  /** Prefix of the watched keys; "": all visible ones. */
  readonly prefix?: string;
  /** The caller as the reducer will see it: `sub`, role and claims of the token. */
  readonly user?: string;
  readonly role?: string;
  readonly claims?: Readonly<Record<string, string>>;
}

/** The fuel for a module that was metered elsewhere: the default of a call. */
const OWN_FUEL_UNITS = 5_000_000;

const encoder = new TextEncoder();

/** Data as the reducer gets it. */
function bytesOf(data: unknown): Uint8Array {
  if (data === undefined) return new Uint8Array();
  if (data instanceof Uint8Array) return data;
  return encoder.encode(typeof data === "string" ? data : JSON.stringify(data));
}

async function compiled(module: WebAssembly.Module | BufferSource): Promise<WebAssembly.Module> {
  const made = module instanceof WebAssembly.Module ? module : await WebAssembly.compile(module);
  const other = WebAssembly.Module.imports(made).find((one) => one.module !== "arqon_room_v1");
  if (other !== undefined) {
    throw new TypeError(`the module imports ${other.module}.${other.name}; expected arqon_room_v1`);
  }
  const names = WebAssembly.Module.exports(made).map(({ name }) => name);
  const missing = ["memory", "arqon_alloc", "arqon_apply"].find((name) => !names.includes(name));
  if (missing !== undefined) {
    throw new TypeError(`the module is no reducer: it exports no ${missing}`);
  }
  return made;
}

/** Repeatable random numbers. */
function randomNumbers(): (drawn: number) => bigint {
  const known: bigint[] = [];
  return (drawn) => known[drawn] ??= crypto.getRandomValues(new BigUint64Array(1))[0]!;
}

/** A room with optimistic calls. */
export class OptimisticRoom<Known extends Calls | RoomTypes> implements Disposable {
  /** The confirmed values. */
  readonly watched: WatchedValues<ValuesOf<Known>>;
  readonly #room: ReducedRoom<Known>;
  readonly #module: GuestModule;
  readonly #options: OptimisticOptions;
  readonly #rebase = new Rebase();
  readonly #listeners = new Set<(changes: ValueChanges) => void>();

  /** Use `optimistic`. */
  constructor(
    room: ReducedRoom<Known>,
    module: GuestModule,
    watched: WatchedValues<ValuesOf<Known>>,
    options: OptimisticOptions,
  ) {
    this.#room = room;
    this.#module = module;
    this.watched = watched;
    this.#options = options;
    watched.changed(({ version, changes }) => this.#tell(this.#rebase.confirmed(version, changes)));
  }

  /** The number of own calls that the room has not confirmed. */
  get pending(): number {
    return this.#rebase.pending;
  }

  #isShown = (key: string) => key.startsWith(this.#options.prefix ?? "");

  /** The value of a key, including the predictions of own calls; undefined: none. */
  read<Key extends keyof ValuesOf<Known> & string>(
    key: Key,
  ): ReadValue<ValuesOf<Known>, Key> | undefined {
    const value = this.#isShown(key) ? this.#rebase.read(key) : undefined;
    return value as ReadValue<ValuesOf<Known>, Key> | undefined;
  }

  /** All values below the prefix in the order of their keys. */
  entries(): [key: string, value: ReducedValue][] {
    const keys = [...this.#rebase.keys()].filter(this.#isShown).sort(compareKeys);
    return keys.map((key) => [key, this.#rebase.read(key)!]);
  }

  /** Calls back with changed values, whoever changed them, until the returned function is called. */
  changed(listener: (changes: ValueChanges) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** As `reduced(room).call`; the predicted changes are visible when this returns its promise. */
  async call<Name extends keyof CallsOf<Known> & string>(
    command: Name,
    ...given: Given<CallsOf<Known>[Name][0]>
  ): Promise<Called<CallsOf<Known>[Name][1]>> {
    const [data, options = {}] = given;
    const { user = "", role = "user", claims = {} } = this.#options;
    const id = options.call_id ?? crypto.randomUUID();
    const call: Omit<GuessedCall, "offset"> = {
      ...{ command, data: bytesOf(data), id, user, role, claims, room: this.#room.id },
      ...{ now_ms: Date.now(), random: randomNumbers() },
    };
    const { number, changes } = this.#rebase.call((values) =>
      guess(this.#module, { ...call, offset: this.#rebase.version + 1 }, values)
    );
    this.#tell(changes);
    let confirmed: { readonly entry: number } | "nothing" = "nothing";
    try {
      const again = [data, { ...options, call_id: id }] as Given<CallsOf<Known>[Name][0]>;
      const called = await this.#room.call(command, ...again);
      const { entry, repeats = entry, visible } = called;
      if (visible === true || repeats !== entry) confirmed = { entry: repeats };
      return called;
    } finally {
      this.#tell(this.#rebase.answered(number, confirmed));
    }
  }

  #tell(all: ValueChanges): void {
    const changes = new Map([...all].filter(([key]) => this.#isShown(key)));
    if (changes.size === 0) return;
    for (const listener of [...this.#listeners]) listener(changes);
  }

  /** Ends it; calls under way continue. */
  close(): void {
    this.watched.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

async function guestOf(
  { module }: OptimisticOptions,
  served: () => Promise<ServedModule>,
): Promise<GuestModule> {
  if (module !== undefined) return { module: await compiled(module), fuel_units: OWN_FUEL_UNITS };
  const { bytes, fuel_units } = await served();
  return { module: await compiled(bytes), fuel_units };
}

/**
 * Makes the calls of a room optimistic: their effect is visible at once. Resolves when its values are read. Rejects
 * with the refusal of the watch, with a TypeError for a module that is not a reducer, and as `WebAssembly.compile`.
 *
 * A prediction knows only visible values, and its clock and randomness are not the room's: for a reducer that needs
 * more it is wrong until the room corrects it. A module from the bus has the fuel of a call; the run time of the
 * program's own module is not bounded.
 */
export async function optimistic<Known extends Calls | RoomTypes>(
  room: ReducedRoom<Known>,
  options: OptimisticOptions = {},
): Promise<OptimisticRoom<Known>> {
  const module = await guestOf(options, () => room.module(options.signal));
  const watched = room.state.watch(options.prefix, options);
  const made = new OptimisticRoom(room, module, watched, options);
  await watched.ready;
  return made;
}
