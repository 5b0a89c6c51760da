/**
 * The configuration in force of one process: an object like any other configuration, whose live keys have new values
 * after `change`. Only `change` modifies it. Reads no file; `reload.ts` does.
 */
import { constantAt, isTable, shareOf, valueAt } from "../keys/constants.ts";
import { makeAtOnce, type Making } from "../../turns/making.ts";
import { makeInPieces, STRANGERS } from "../../turns/slices.ts";
import { isLiveKey, LISTS_ALONE, LIVE_KEYS, LIVE_WHILE_SET } from "../keys/live_keys.ts";
import type { LiveKey } from "../keys/live_keys.ts";
import { ConfigError, configFrom } from "../load.ts";
import type { Config } from "../schema.ts";

type Table = Readonly<Record<string, unknown>>;

/** What a reload changed. */
export interface ConfigChange {
  /** The live keys that have a new value now. */
  readonly changed: readonly LiveKey[];
  /** The keys that differ from the configuration in force and need a restart. */
  readonly needs_restart: readonly string[];
}

/** Notifies a component when its keys change. */
export interface ConfigChanges {
  /**
   * Calls `apply` after each change of one of the keys, when the configuration has the new values, and at once if one
   * has changed already: a component that is starting may have read the value before. `apply` must not throw. A
   * component that reads a key on every use needs no notification. `make` makes what `apply` gets of a new
   * configuration, in slices. It must not throw, and changes nothing: the configuration may yet be refused.
   */
  follow<Made = void>(
    keys: readonly LiveKey[],
    apply: (made: Made) => void,
    make?: (next: Config) => Making<Made>,
  ): void;
}

interface Follower {
  readonly keys: ReadonlySet<LiveKey>;
  readonly make: (next: Config) => Making<() => void>;
}

/** A change as far as it can be made beforehand. */
export interface PreparedChange {
  /** The keys that differ from the configuration in force. */
  readonly different: readonly string[];
  /** The application of each component that followed at that time. */
  readonly made: ReadonlyMap<Follower, () => void>;
}

/** Steps of a comparison in one piece: an entry of a list takes some 3 µs. */
const STEPS_A_PIECE = 64;

/** Whether the constant is a share of a live key: then it follows it. */
function isLiveShare(key: string): boolean {
  const of = shareOf(key);
  return of !== undefined && isLiveKey(of);
}

const within = (path: string, key: string) => path === "" ? key : `${path}.${key}`;

const nameOf = (key: string) => key.slice(key.lastIndexOf(".") + 1);

/** The keys of a table, and the live keys that it may get later. */
function keysOf(table: Table, path: string): Set<string> {
  const live = LIVE_KEYS.filter((key) => key === within(path, nameOf(key)));
  return new Set([...Object.keys(table), ...live.map(nameOf)]);
}

/** The value of a live key at the moment. */
interface Cell {
  value: unknown;
}

/**
 * An object with the members of the table; each live key has a cell in `cells`. The message path reads a dozen of them,
 * and a property lookup by a varying name costs ten times as much as reading a cell.
 */
function viewOf(began: Table, path: string, cells: Map<string, Cell>): Table {
  const view: Record<string, unknown> = {};
  for (const name of keysOf(began, path)) {
    const key = within(path, name);
    const value = began[name];
    if (isLiveKey(key) || isLiveShare(key)) {
      const cell: Cell = { value };
      cells.set(key, cell);
      Object.defineProperty(view, name, { enumerable: true, get: () => cell.value });
    } else view[name] = isTable(value) ? viewOf(value, key, cells) : value;
  }
  return Object.freeze(view);
}

/** Finds the keys that differ between two tables, step by step. */
function* comparing(a: Table, b: Table, path: string, found: string[]): Generator<void> {
  for (const name of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const key = within(path, name);
    const one = a[name];
    const other = b[name];
    if (!isLiveKey(key) && isTable(one) && isTable(other)) yield* comparing(one, other, key, found);
    else if (yield* differ(one, other)) found.push(key);
  }
}

function* differ(one: unknown, other: unknown): Generator<void, boolean> {
  if (!Array.isArray(one) || !Array.isArray(other)) {
    return JSON.stringify(one) !== JSON.stringify(other);
  }
  if (one.length !== other.length) return true;
  for (const [at, entry] of one.entries()) {
    if (JSON.stringify(entry) !== JSON.stringify(other[at])) return true;
    yield;
  }
  return false;
}

/** A copy of the table with another value at one path. */
function withValue(table: Table, [name = "", ...deeper]: readonly string[], value: unknown): Table {
  if (deeper.length > 0) {
    return { ...table, [name]: withValue(table[name] as Table, deeper, value) };
  }
  const { [name]: _before, ...rest } = table;
  return value === undefined ? rest : { ...table, [name]: value };
}

/** The configuration of a running process. */
export class LiveConfig implements ConfigChanges {
  /** The object that all components share. Spreading one of its tables copies the present values. */
  readonly config: Config;
  #in_force: Config;
  readonly #followers: Follower[] = [];
  readonly #cells = new Map<string, Cell>();
  /** The keys that have changed since the start. */
  readonly #changed = new Set<LiveKey>();

  constructor(started: Config) {
    this.#in_force = started;
    this.config = viewOf(started as Table, "", this.#cells) as Config;
  }

  follow<Made = void>(
    keys: readonly LiveKey[],
    apply: (made: Made) => void,
    make?: (next: Config) => Making<Made>,
  ): void {
    const follower: Follower = {
      keys: new Set(keys),
      *make(next) {
        const made = make === undefined ? undefined : yield* make(next);
        return () => apply(made as Made);
      },
    };
    this.#followers.push(follower);
    if (keys.some((key) => this.#changed.has(key))) makeAtOnce(follower.make(this.#in_force))();
  }

  /**
   * Prepares `change` to this configuration in slices; nothing else may change it meanwhile. Without it, a change of
   * 10,000 room classes takes a turn of 100 ms.
   */
  prepare(next: Config): Promise<PreparedChange> {
    return makeInPieces(STRANGERS, this.#preparing(next), STEPS_A_PIECE);
  }

  *#preparing(next: Config): Making<PreparedChange> {
    const different: string[] = [];
    yield* comparing(this.#in_force, next, "", different);
    const made = new Map<Follower, () => void>();
    for (const follower of this.#followers) {
      if (!different.some((key) => follower.keys.has(key as LiveKey))) continue;
      made.set(follower, yield* follower.make(next));
    }
    return { different, made };
  }

  /**
   * Applies the live keys of another configuration. Throws a ConfigError, and changes nothing, when they conflict with
   * the values in force that need a restart. `prepared`: absent, it is prepared in one turn.
   */
  change(next: Config, prepared = makeAtOnce(this.#preparing(next))): ConfigChange {
    const { different, made } = prepared;
    const shares = different.filter(isLiveShare);
    const all = different.filter((key) => constantAt(key.split(".")) === undefined);
    const changed = all.filter((key) => isLiveKey(key) && this.#isLiveNow(key, next)) as LiveKey[];
    const needs_restart = all.filter((key) => !changed.includes(key as LiveKey));
    let merged: Table = this.#in_force;
    for (const key of [...changed, ...shares]) {
      const names = key.split(".");
      merged = withValue(merged, names, valueAt(next, names));
    }
    if (needs_restart.length > 0) requireAllowed(merged, needs_restart);
    this.#in_force = merged as Config;
    for (const key of [...changed, ...shares]) {
      this.#cells.get(key)!.value = valueAt(merged, key.split("."));
    }
    for (const key of changed) this.#changed.add(key);
    for (const follower of this.#followers) {
      if (!changed.some((key) => follower.keys.has(key))) continue;
      (made.get(follower) ?? makeAtOnce(follower.make(this.#in_force)))();
    }
    return { changed, needs_restart };
  }

  /** The live keys with a single value, and their values in force; lists are left out. */
  inForce(): Record<string, string | number | boolean> {
    const values: Record<string, string | number | boolean> = {};
    for (const key of LIVE_KEYS) {
      const value = valueAt(this.#in_force, key.split("."));
      if (value !== undefined && typeof value !== "object") {
        values[key] = value as string | number | boolean;
      }
    }
    return values;
  }

  #isLiveNow(key: string, next: Config): boolean {
    const names = key.split(".");
    // No component reads a table that is absent yet.
    if (valueAt(this.#in_force, names.slice(0, -1)) === undefined) return false;
    if (!LIVE_WHILE_SET.has(key)) return true;
    return valueAt(this.#in_force, names) !== undefined && valueAt(next, names) !== undefined;
  }
}

/** The first of the entries with the same value. */
function firstOfEach<Entry>(list: readonly Entry[], by: (entry: Entry) => unknown): Entry[] {
  return [...new Map(list.toReversed().map((entry) => [by(entry), entry])).values()].toReversed();
}

/**
 * The part of a configuration in which one key can restrict another. Each of its values is valid alone; to look at
 * all of 10,000 classes again takes a turn of some 100 ms, and more with filters.
 */
function entangled(merged: Table): Table {
  let table = merged;
  for (const key of LISTS_ALONE) {
    const names = key.split(".");
    if (valueAt(table, names) !== undefined) table = withValue(table, names, undefined);
  }
  const { rooms, usage } = merged as Config;
  const named = rooms.filter(({ reducer }) => reducer !== undefined);
  return {
    ...table,
    rooms: firstOfEach(named, ({ reducer }) => reducer),
    usage: { ...usage, budgets: firstOfEach(usage.budgets, ({ per }) => per) },
  };
}

function requireAllowed(merged: Table, needs_restart: readonly string[]): void {
  try {
    configFrom(entangled(merged));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const before = error.problems.map(({ key, text }) => ({
      position: undefined,
      key,
      text: `${text} (beside the values of ${needs_restart.join(", ")}, which need a restart)`,
    }));
    throw new ConfigError("", before);
  }
}
