/**
 * Optimistic calls: the reducer also runs in the client, and the room's decision corrects wrong predictions. `Rebase`
 * combines predictions and values, `guest.ts` runs a module.
 */
import { encodeUtf8 } from "@arqon/proto";
import { compareKeys, isSameValue, put, type WatchOptions } from "./watched_values.ts";
import type { ReadValue, ReducedValue, ValueChanges, WatchedValues } from "./watched_values.ts";
import { guess } from "./guest.ts";
import type { Guess, GuessedCall, GuestModule } from "./guest.ts";
import type { Called, Calls, CallsOf, Given, ReducedRoom, RoomTypes } from "./calls.ts";
import type { ServedModule, ValuesOf } from "./calls.ts";

/** The most changes that are held back; above, the oldest is applied, whoever made it. */
const HELD_MAX = 1_000;

/** The outcome of a call: the entry whose changes will follow, or no visible change. */
type CallOutcome = { readonly entry: number } | "nothing";

interface Pending {
  readonly number: number;
  readonly guess: (values: ReadonlyMap<string, ReducedValue>) => Guess;
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
  /** The values with the predictions. */
  readonly values: Map<string, ReducedValue> = new Map();
  /** The entry of the values below the predictions. */
  version = 0;
  readonly #confirmed = new Map<string, ReducedValue>();
  /** The keys of the predictions. */
  readonly #guessed = new Set<string>();
  #pending: Pending[] = [];
  #held: Held[] = [];
  #last = 0;

  /** The number of unconfirmed calls. */
  get pending(): number {
    return this.#pending.length;
  }

  /** Adds a call; returns its number and its predicted changes. */
  call(guess: Pending["guess"]): { number: number; changes: ValueChanges } {
    const number = ++this.#last;
    this.#pending.push({ number, guess, entry: undefined });
    return { number, changes: this.#guessAnew([]) };
  }

  /** Applies the outcome of a call. */
  answered(number: number, outcome: CallOutcome): ValueChanges {
    for (const one of this.#pending) {
      if (one.number === number) one.entry = outcome === "nothing" ? 0 : outcome.entry;
    }
    return this.#guessAnew(this.#release());
  }

  /** Applies changes from the room. */
  confirmed(version: number, changes: ValueChanges): ValueChanges {
    this.#held.push({ number: this.#last, version, changes });
    return this.#guessAnew(this.#release());
  }

  /** Applies held changes that no longer wait for an answer; returns their keys. */
  #release(): string[] {
    const keys: string[] = [];
    const open = this.#pending.find(({ entry }) => entry === undefined)?.number ?? Infinity;
    while (this.#held.length > 0) {
      if (this.#held[0]!.number >= open && this.#held.length <= HELD_MAX) break;
      const { version, changes } = this.#held.shift()!;
      keys.push(...changes.keys());
      put(this.#confirmed, changes);
      // Entries have restarted: earlier answers refer to none of them.
      if (version < this.version) {
        this.#pending = this.#pending.filter(({ entry }) => entry === undefined);
      }
      this.version = version;
    }
    this.#pending = this.#pending.filter(({ entry = Infinity }) => entry > this.version);
    return keys;
  }

  /** Withdraws all predictions: their outcomes will not be received. */
  withdraw(): ValueChanges {
    this.#pending = [];
    return this.#guessAnew(this.#release());
  }

  /** Predicts all calls again, above new confirmed values of these keys; returns the values that differ from before. */
  #guessAnew(keys: readonly string[]): ValueChanges {
    const before = new Map<string, ReducedValue | undefined>();
    const write = (changes: ValueChanges) => {
      for (const key of changes.keys()) if (!before.has(key)) before.set(key, this.values.get(key));
      put(this.values, changes);
    };
    write(new Map([...keys, ...this.#guessed].map((key) => [key, this.#confirmed.get(key)])));
    this.#guessed.clear();
    for (const { guess } of this.#pending) {
      const guessed = guess(this.values) ?? new Map();
      for (const key of guessed.keys()) this.#guessed.add(key);
      write(guessed);
    }
    const different = [...before].filter(([key, value]) =>
      !isSameValue(value, this.values.get(key))
    );
    return new Map(different.map(([key]) => [key, this.values.get(key)]));
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

/** Data as the reducer gets it. */
function bytesOf(data: unknown): Uint8Array {
  if (data === undefined) return new Uint8Array();
  if (data instanceof Uint8Array) return data;
  return encodeUtf8(typeof data === "string" ? data : JSON.stringify(data));
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
  readonly #over = new AbortController();

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
    watched.ended.catch((error) => {
      this.#over.abort(error);
      this.#tell(this.#rebase.withdraw());
    });
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
    const value = this.#isShown(key) ? this.#rebase.values.get(key) : undefined;
    return value as ReadValue<ValuesOf<Known>, Key> | undefined;
  }

  /** All values below the prefix in the order of their keys. */
  entries(): [key: string, value: ReducedValue][] {
    const shown = [...this.#rebase.values].filter(([key]) => this.#isShown(key));
    return shown.sort(([one], [other]) => compareKeys(one, other));
  }

  /** Calls back with changed values, whoever changed them, until the returned function is called. */
  changed(listener: (changes: ValueChanges) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * As `reduced(room).call`; the predicted changes are visible when this returns its promise. Rejects with the error
   * that ended `watched`, such as a kick: a call under way may have been applied, a later one is not sent.
   */
  async call<Name extends keyof CallsOf<Known> & string>(
    command: Name,
    ...given: Given<CallsOf<Known>[Name][0]>
  ): Promise<Called<CallsOf<Known>[Name][1]>> {
    const [data, options = {}] = given;
    const over = this.#over.signal;
    over.throwIfAborted();
    const { user = "", role = "user", claims = {} } = this.#options;
    const id = options.call_id ?? crypto.randomUUID();
    const call: Omit<GuessedCall, "offset"> = {
      command,
      data: bytesOf(data),
      id,
      user,
      role,
      claims,
      room: this.#room.id,
      now_ms: Date.now(),
      random: randomNumbers(),
    };
    const { number, changes } = this.#rebase.call((values) =>
      guess(this.#module, { ...call, offset: this.#rebase.version + 1 }, values)
    );
    this.#tell(changes);
    let confirmed: { readonly entry: number } | "nothing" = "nothing";
    try {
      const signal = options.signal ? AbortSignal.any([options.signal, over]) : over;
      const again = [data, { ...options, call_id: id, signal }] as Given<CallsOf<Known>[Name][0]>;
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
