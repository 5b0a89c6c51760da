/**
 * Visible values of a room as one moment of it has them: put together of pages that are read one after the other and
 * of messages that tell changes meanwhile and afterwards. What cannot be applied is said, never guessed. Pure; when
 * to read is `watched_values.ts`.
 */

/** A value: its text, or its bytes where they are none. */
export type ReducedValue = string | Uint8Array;

/** What was written by key; undefined: deleted. */
export type ValueChanges = ReadonlyMap<string, ReducedValue | undefined>;

/** A value on the wire. */
export type WireValue = string | { readonly base64: string };

/** A page of `room.values`. */
export interface ValuesPage {
  readonly scope: string;
  readonly version: number;
  readonly values: readonly (readonly [key: string, value: WireValue])[];
  readonly next?: string;
}

/** A message of `ROOM~values`. */
export interface ValuesTold {
  readonly scope: string;
  readonly after: number;
  readonly to: number;
  readonly part?: number;
  readonly more?: boolean;
  readonly changes: readonly (readonly [entry: number, key: string, value: WireValue | null])[];
}

/** Changes that wait for pages, at most; with more the pages are read again. */
const WAITING_MAX = 65_536;

const encoder = new TextEncoder();

/** Compares keys as the bus does: by the bytes of their UTF-8. */
export function compareKeys(one: string, other: string): number {
  const [a, b] = [encoder.encode(one), encoder.encode(other)];
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) if (a[at] !== b[at]) return a[at]! - b[at]!;
  return a.length - b.length;
}

/** A value of the wire. */
function valueOf(value: WireValue): ReducedValue {
  if (typeof value === "string") return value;
  return Uint8Array.from(atob(value.base64), (byte) => byte.charCodeAt(0));
}

/** Whether both are the same. */
export function isSameValue(
  one: ReducedValue | undefined,
  other: ReducedValue | undefined,
): boolean {
  if (one === other) return true;
  if (!(one instanceof Uint8Array) || !(other instanceof Uint8Array)) return false;
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

/** What came of a page: more are to be read, one has to begin again, changes are still to come, or all is there. */
export type PageOutcome = "more" | "again" | "wait" | "whole";

/** The values below a prefix. */
export class ValuesView {
  readonly prefix: string;
  /** The entry whose values these are; undefined: none yet. */
  version: number | undefined;
  values: Map<string, ReducedValue> = new Map();
  #scope = "";
  /** The highest entry that a message was about, and of which scope that was the last. */
  #heard = { scope: "", entry: 0 };
  #parts: ValuesTold | undefined;
  /** Undefined: no pages are being read. */
  #pages: ValuesPage[] | undefined;
  #waiting: ValuesTold[] = [];
  #waiting_changes = 0;

  constructor(prefix: string) {
    this.prefix = prefix;
  }

  /** Pages are read from the first one on; what is there stays until they are whole. */
  begin(): void {
    this.#pages = [];
    this.#waiting = [];
    this.#waiting_changes = 0;
  }

  /** Takes the page behind the last one. */
  page(page: ValuesPage): PageOutcome {
    const pages = this.#pages ??= [];
    pages.push(page);
    if (page.scope !== pages[0]?.scope) return "again";
    // A previous owner may answer with stale values. In another scope entries may have begun anew.
    if (page.scope === this.#scope && page.version < (this.version ?? 0)) return "again";
    return page.next === undefined ? this.settle() : "more";
  }

  /** Whether pages and changes are whole by now. */
  settle(): PageOutcome {
    const pages = this.#pages ?? [];
    const versions = pages.map(({ version }) => version);
    let version = Math.min(...versions);
    const target = Math.max(...versions);
    if (this.#waiting_changes > WAITING_MAX) return "again";
    const read = new Map<string, ReducedValue>();
    for (const page of pages) for (const [key, value] of page.values) read.set(key, valueOf(value));
    for (const told of this.#waiting) {
      if (told.to <= version) continue;
      if (told.after > version || told.scope !== pages[0]?.scope) return "again";
      // A page that is newer has them already, and what comes up to its version says the same in the end.
      for (const [, key, value] of told.changes) {
        if (!key.startsWith(this.prefix)) continue;
        if (value === null) read.delete(key);
        else read.set(key, valueOf(value));
      }
      version = told.to;
    }
    if (version < target) return "wait";
    // Earlier messages were about later entries than a previous owner knows.
    const { scope } = pages[0]!;
    const is_known = scope === this.#scope || scope === this.#heard.scope;
    if (is_known && version < this.#heard.entry) return "again";
    this.#scope = scope;
    this.version = version;
    this.values = read;
    this.#pages = undefined;
    this.#waiting = [];
    return "whole";
  }

  /** Takes a message. Gives what changed now, or "again" when it cannot be applied. */
  hear(part: ValuesTold): ValueChanges | "again" {
    const told = this.#whole(part);
    if (told === undefined) return new Map();
    const { scope, to } = told;
    const before = scope === this.#heard.scope ? this.#heard.entry : 0;
    this.#heard = { scope, entry: Math.max(before, to) };
    if (this.#pages !== undefined) {
      this.#waiting_changes += told.changes.length;
      if (this.#waiting_changes <= WAITING_MAX) this.#waiting.push(told);
      return new Map();
    }
    const version = this.version ?? 0;
    if (told.to > version && told.after > version || told.scope !== this.#scope) return "again";
    const changes = new Map<string, ReducedValue | undefined>();
    if (told.to <= version) return changes;
    for (const [entry, key, raw] of told.changes) {
      if (entry <= version || !key.startsWith(this.prefix)) continue;
      const value = raw === null ? undefined : valueOf(raw);
      changes.set(key, value);
      if (value === undefined) this.values.delete(key);
      else this.values.set(key, value);
    }
    this.version = told.to;
    return changes;
  }

  /** The message whose last part this is; undefined: more are to come. One without its first parts goes on nowhere. */
  #whole(part: ValuesTold): ValuesTold | undefined {
    const before = this.#parts;
    this.#parts = undefined;
    const { part: number = 1, more, after, to } = part;
    let told = part;
    if (number > 1) {
      const follows = before?.after === after && before.to === to && before.part === number - 1;
      if (!follows) return more ? undefined : { ...part, after: to, changes: [] };
      told = { ...part, changes: [...before.changes, ...part.changes] };
    }
    if (!more) return told;
    this.#parts = told;
    return undefined;
  }
}
