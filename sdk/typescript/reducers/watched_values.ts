/**
 * Watches visible values of a room: reads them, and receives their changes from the companion room. Missed changes are
 * recovered, or all values are read again. `ValuesView` combines pages and changes.
 */
import { ArqonError, encodeUtf8 } from "@arqon/proto";
import { type Message, requireIn } from "../message/message.ts";
import { ask, patiently } from "../request/room_request.ts";
import { portOf, Room } from "../room/room.ts";
import { backoffDelay, sleep } from "../time/clock.ts";

/** A value: a text, or bytes that are not UTF-8. */
export type ReducedValue = string | Uint8Array;

/** Written values by key; undefined: deleted. */
export type ValueChanges = ReadonlyMap<string, ReducedValue | undefined>;

type WireValue = string | { readonly base64: string };

/** A page of `room.values`. */
export interface ValuesPage {
  readonly scope: string;
  readonly version: number;
  readonly values: readonly (readonly [key: string, value: WireValue])[];
  readonly next?: string;
}

/** A message of `ROOM~values`. */
export interface ValuesMessage {
  readonly scope: string;
  readonly after: number;
  readonly to: number;
  readonly part?: number;
  readonly more?: boolean;
  readonly changes: readonly (readonly [entry: number, key: string, value: WireValue | null])[];
}

/** The most changes that wait for pages; above, the pages are read again. */
const WAITING_MAX = 65_536;

/** Compares keys as the bus does: by their UTF-8 bytes. */
export function compareKeys(one: string, other: string): number {
  const a = encodeUtf8(one);
  const b = encodeUtf8(other);
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) if (a[at] !== b[at]) return a[at]! - b[at]!;
  return a.length - b.length;
}

function valueOf(value: WireValue): ReducedValue {
  if (typeof value === "string") return value;
  return Uint8Array.from(atob(value.base64), (byte) => byte.charCodeAt(0));
}

/** Whether both values are equal. */
export function isSameValue(
  one: ReducedValue | undefined,
  other: ReducedValue | undefined,
): boolean {
  if (one === other) return true;
  if (!(one instanceof Uint8Array) || !(other instanceof Uint8Array)) return false;
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

/** Writes changes into values. */
export function put(values: Map<string, ReducedValue>, changes: ValueChanges): void {
  for (const [key, value] of changes) {
    if (value === undefined) values.delete(key);
    else values.set(key, value);
  }
}

/** The outcome of a page: read the next one, begin again, wait for changes, or complete. */
type PageOutcome = "more" | "again" | "wait" | "whole";

/** The values below a prefix. */
export class ValuesView {
  readonly prefix: string;
  /** The entry of these values; undefined: none yet. */
  version: number | undefined;
  values: Map<string, ReducedValue> = new Map();
  #scope = "";
  /** The highest entry of a message, and the scope of the last one. */
  #received = { scope: "", entry: 0 };
  #parts: ValuesMessage | undefined;
  /** Undefined: no pages are being read. */
  #pages: ValuesPage[] | undefined;
  #waiting: ValuesMessage[] = [];
  #waiting_changes = 0;

  constructor(prefix: string) {
    this.prefix = prefix;
  }

  /** Begins to read pages from the first; the present values stay until they are complete. */
  begin(): void {
    this.#pages = [];
    this.#waiting = [];
    this.#waiting_changes = 0;
  }

  /** Adds the next page. */
  page(page: ValuesPage): PageOutcome {
    const pages = this.#pages ??= [];
    pages.push(page);
    if (page.scope !== pages[0]?.scope) return "again";
    // A previous owner may answer with stale values. In another scope entries may have restarted.
    if (page.scope === this.#scope && page.version < (this.version ?? 0)) return "again";
    return page.next === undefined ? this.settle() : "more";
  }

  /** Whether pages and changes are complete. */
  settle(): PageOutcome {
    const pages = this.#pages ?? [];
    const versions = pages.map(({ version }) => version);
    let version = Math.min(...versions);
    const target = Math.max(...versions);
    if (this.#waiting_changes > WAITING_MAX) return "again";
    const read = new Map<string, ReducedValue>();
    for (const page of pages) for (const [key, value] of page.values) read.set(key, valueOf(value));
    for (const message of this.#waiting) {
      if (message.to <= version) continue;
      if (message.after > version || message.scope !== pages[0]?.scope) return "again";
      // A newer page already contains them, and changes up to its version lead to the same values.
      put(read, this.#changes(message, 0));
      version = message.to;
    }
    if (version < target) return "wait";
    // Earlier messages may be about later entries than a previous owner knows.
    const { scope } = pages[0]!;
    const is_known = scope === this.#scope || scope === this.#received.scope;
    if (is_known && version < this.#received.entry) return "again";
    this.#scope = scope;
    this.version = version;
    this.values = read;
    this.#pages = undefined;
    this.#waiting = [];
    return "whole";
  }

  /** Applies a message. Returns the changes, or "again" if it cannot be applied. */
  hear(part: ValuesMessage): ValueChanges | "again" {
    const message = this.#whole(part);
    if (message === undefined) return new Map();
    const { scope, to } = message;
    const before = scope === this.#received.scope ? this.#received.entry : 0;
    this.#received = { scope, entry: Math.max(before, to) };
    if (this.#pages !== undefined) {
      this.#waiting_changes += message.changes.length;
      if (this.#waiting_changes <= WAITING_MAX) this.#waiting.push(message);
      return new Map();
    }
    const version = this.version ?? 0;
    if (message.to > version && message.after > version || message.scope !== this.#scope) {
      return "again";
    }
    if (message.to <= version) return new Map();
    const changes = this.#changes(message, version);
    put(this.values, changes);
    this.version = message.to;
    return changes;
  }

  /** The changes of a message below the prefix after a version. */
  #changes({ changes }: ValuesMessage, version: number): ValueChanges {
    const wanted = changes.filter(([entry, key]) => entry > version && key.startsWith(this.prefix));
    return new Map(
      wanted.map(([, key, value]) => [key, value === null ? undefined : valueOf(value)]),
    );
  }

  /**
   * The whole message if this is its last part; undefined: parts are missing. A message without its first parts is
   * dropped.
   */
  #whole(part: ValuesMessage): ValuesMessage | undefined {
    const before = this.#parts;
    this.#parts = undefined;
    const { part: number = 1, more, after, to } = part;
    let message = part;
    if (number > 1) {
      const follows = before?.after === after && before.to === to && before.part === number - 1;
      if (!follows) return more ? undefined : { ...part, after: to, changes: [] };
      message = { ...part, changes: [...before.changes, ...part.changes] };
    }
    if (!more) return message;
    this.#parts = message;
    return undefined;
  }
}

/** The options of `watch`. */
export interface WatchOptions {
  /** Aborting ends it, as `close` does. */
  readonly signal?: AbortSignal;
}

/** A change of the values. */
export interface ValuesChanged {
  /** The entry of these values. */
  readonly version: number;
  /** Undefined: deleted. */
  readonly changes: ValueChanges;
}

const BACKOFF = { base_ms: 100, max_ms: 5_000 };
/** Interval, in ms, and the most checks whether the changes have arrived that pages wait for. */
const SETTLE_MS = 50;
const SETTLE_LOOKS = 40;

/** The keys of JSON values: others are texts. */
type JsonKeys<Values> =
  & { readonly [Key in keyof Values]: Values[Key] extends string ? never : Key }[keyof Values]
  & string;

/** The result of reading a key: a text if its type is a text, otherwise text or bytes. */
export type ReadValue<Values, Key extends keyof Values> = Values[Key] extends string ? Values[Key]
  : ReducedValue;

/** Live visible values of a room. */
export class WatchedValues<
  Values extends Readonly<Record<string, unknown>> = Readonly<Record<string, unknown>>,
> {
  /** Resolves when the values are read; rejects with the refusal. */
  readonly ready: Promise<void>;
  /** Resolves after `close`; rejects with what ended it, after a kick or a ban `disconnected` or `room-banned`. */
  readonly ended: Promise<void>;
  readonly #room: Room;
  readonly #view: ValuesView;
  readonly #over = new AbortController();
  readonly #first = Promise.withResolvers<void>();
  readonly #listeners = new Set<(changed: ValuesChanged) => void>();
  #is_reading = false;
  #is_again = false;
  #failure: unknown;
  /** The version that was reported last. */
  #reported: number | undefined;

  /** Made by `reduced(room).state.watch`. */
  constructor(room: Room, prefix: string, { signal }: WatchOptions) {
    this.#room = room;
    this.#view = new ValuesView(prefix);
    signal?.addEventListener("abort", () => this.close(), { signal: this.#over.signal });
    if (signal?.aborted) this.#over.abort();
    this.ready = this.#first.promise;
    this.ended = this.#run();
    // A program that ignores these promises is notified by `onError`.
    for (const one of [this.ready, this.ended]) one.catch(() => {});
  }

  /** The entry of the room's log that these values belong to; 0 before the first ones. */
  get version(): number {
    return this.#view.version ?? 0;
  }

  /** False while missed changes are being read, and after the end: the values are stale. */
  get is_current(): boolean {
    const is_stale = this.#is_reading || this.#over.signal.aborted;
    return this.#view.version !== undefined && !is_stale;
  }

  /** The value of a key; undefined: none, or it is not visible. */
  read<Key extends keyof Values & string>(key: Key): ReadValue<Values, Key> | undefined {
    return this.#view.values.get(key) as ReadValue<Values, Key> | undefined;
  }

  /** The JSON value of a key; undefined: none. Throws SyntaxError if it is not JSON. */
  json<Key extends JsonKeys<Values>>(key: Key): Values[Key] | undefined {
    const value = this.#view.values.get(key);
    if (value instanceof Uint8Array) throw new SyntaxError(`${key} is no text`);
    return value === undefined ? undefined : JSON.parse(value);
  }

  /** All values in the order of their keys. */
  entries(): [key: string, value: ReducedValue][] {
    return [...this.#view.values].sort(([one], [other]) => compareKeys(one, other));
  }

  /**
   * Calls back after each change, including the first values and changes outside the prefix, until the returned
   * function is called.
   */
  changed(listener: (changed: ValuesChanged) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Stops watching; the values stay unchanged. */
  close(): void {
    this.#over.abort();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #run(): Promise<void> {
    const port = portOf(this.#room);
    try {
      if (this.#over.signal.aborted) return;
      const beside = new Room(`${this.#room.id}~values`, port);
      using subscription = beside.subscribe();
      this.#over.signal.addEventListener("abort", () => subscription.close());
      await subscription.ready;
      this.#read();
      for await (const message of subscription) {
        requireIn(this.#room.id, message);
        this.#receive(message);
      }
      if (this.#failure !== undefined) throw this.#failure;
    } catch (error) {
      if (this.#over.signal.aborted && this.#failure === undefined) return;
      // Before the first values, `ready` reports the error.
      if (error instanceof ArqonError && this.#view.version !== undefined) port.report(error);
      this.#first.reject(error);
      throw error;
    } finally {
      this.#over.abort();
      this.#first.reject(new ArqonError("connection-closed", "the watch has ended"));
    }
  }

  #receive(message: Message): void {
    const { signal, type, sender } = message;
    if (signal?.kind === "GAP") return this.#read();
    if (type !== "values" || sender !== "") return;
    const changes = this.#view.hear(message.json());
    if (changes === "again") return this.#read();
    this.#tell(changes);
  }

  #tell(changes: ValueChanges): void {
    const { version } = this;
    if (changes.size === 0 && version === this.#reported) return;
    this.#reported = version;
    for (const listener of [...this.#listeners]) {
      try {
        listener({ version, changes });
      } catch (cause) {
        const error = new ArqonError("handler-failed", `values of ${this.#room.id}`, { cause });
        portOf(this.#room).report(error);
      }
    }
  }

  /** Reads all values; repeats if requested meanwhile. */
  #read(): void {
    this.#is_again = true;
    if (this.#is_reading) return;
    this.#is_reading = true;
    this.#readAll().catch((error) => {
      if (this.#over.signal.aborted) return;
      this.#failure = error;
      this.close();
    });
  }

  async #readAll(): Promise<void> {
    const over = this.#over.signal;
    for (let attempt = 0; !over.aborted; attempt++) {
      this.#is_again = false;
      const before = this.#view.values;
      if (await this.#readPages() === "whole") {
        this.#is_reading = this.#is_again;
        this.#tell(differences(before, this.#view.values));
        this.#first.resolve();
        if (!this.#is_reading) return;
      }
      await sleep(backoffDelay(attempt, BACKOFF, Math.random), over);
    }
  }

  async #readPages(): Promise<PageOutcome> {
    const over = this.#over.signal;
    const { prefix } = this.#view;
    this.#view.begin();
    let outcome: PageOutcome = "more";
    for (let after = ""; outcome === "more" && !over.aborted;) {
      const query = { ...(prefix && { prefix }), ...(after && { after }) };
      const read = () => ask<ValuesPage>(this.#room, "room.values", query, { signal: over });
      const page = await patiently(read, over, Infinity);
      outcome = this.#view.page(page);
      after = page.next ?? "";
    }
    for (let look = 0; outcome === "wait" && look < SETTLE_LOOKS && !over.aborted; look++) {
      await sleep(SETTLE_MS, over);
      outcome = this.#view.settle();
    }
    return outcome;
  }
}

/** The outcome of some values. */
function differences(
  before: ReadonlyMap<string, ReducedValue>,
  now: ReadonlyMap<string, ReducedValue>,
): ValueChanges {
  const changes = new Map<string, ReducedValue | undefined>();
  for (const [key, value] of now) if (!isSameValue(before.get(key), value)) changes.set(key, value);
  for (const key of before.keys()) if (!now.has(key)) changes.set(key, undefined);
  return changes;
}
