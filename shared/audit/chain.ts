/**
 * Checks that entries of the audit log are a chain: each has the next number and the hash of the one
 * before. What was changed, left out, put in or moved shows at the first entry that does not fit. The
 * end of the log shows nothing on its own: who wants to know whether the newest entries were removed
 * compares with an anchor, a number and hash that were noted before. Pure.
 */
import { decodeEntry, entryHash, NO_HASH } from "./entry.ts";
import type { AuditEntry } from "./entry.ts";

/** The place and the hash of one entry. */
export interface Anchor {
  readonly seq: number;
  readonly hash: string;
}

/** The first entry that does not fit. */
export interface Break {
  /** The number of that entry, or of the one that is missing. */
  readonly seq: number;
  /** What is wrong, for people. */
  readonly problem: string;
}

/** Takes entries in their order, the oldest first, and remembers the first that does not fit. */
export class ChainCheck {
  #first: Anchor | undefined;
  #last: Anchor | undefined;
  #entries = 0;
  #broken: Break | undefined;
  readonly #anchor: Anchor | undefined;
  #met = false;

  /** `anchor`: an entry that must be in the chain. */
  constructor(anchor?: Anchor) {
    this.#anchor = anchor;
  }

  /** The oldest entry that was taken. */
  get first(): Anchor | undefined {
    return this.#first;
  }

  /** The newest entry that fits: the anchor of a later check. */
  get last(): Anchor | undefined {
    return this.#last;
  }

  get entries(): number {
    return this.#entries;
  }

  get broken(): Break | undefined {
    return this.#broken;
  }

  /** Takes the next entry's stored bytes; what comes after a break is not looked at. */
  take(bytes: Uint8Array): void {
    if (this.#broken !== undefined) return;
    const decoded = decodeEntry(bytes);
    const expected = this.#last === undefined ? undefined : this.#last.seq + 1;
    if ("problem" in decoded) {
      this.#broken = { seq: expected ?? 0, problem: `it cannot be read: ${decoded.problem}` };
      return;
    }
    const anchor = { seq: decoded.entry.seq, hash: entryHash(bytes) };
    this.#broken = this.#problemOf(decoded.entry, expected) ?? this.#missed(anchor);
    if (this.#broken !== undefined) return;
    this.#first ??= anchor;
    this.#last = anchor;
    this.#entries++;
  }

  /** Says that there is no more; returns the break, if there is one. */
  end(): Break | undefined {
    if (this.#broken === undefined && this.#anchor !== undefined && !this.#met) {
      const { seq } = this.#anchor;
      const last = this.#last?.seq ?? 0;
      const problem = seq > last
        ? `it is missing: the log ends with entry ${last}`
        : `it is missing: the log begins with entry ${this.#first?.seq}`;
      this.#broken = { seq, problem };
    }
    return this.#broken;
  }

  #problemOf({ seq, previous }: AuditEntry, expected: number | undefined): Break | undefined {
    if (expected === undefined) {
      if (seq > 1 || previous === NO_HASH) return undefined;
      return { seq, problem: "it is the first one, and names one before it" };
    }
    if (seq > expected) return { seq: expected, problem: `it is missing: ${seq} comes next` };
    if (seq < expected) return { seq, problem: `it stands behind entry ${expected - 1}` };
    if (previous === this.#last?.hash) return undefined;
    return {
      seq: expected - 1,
      problem: `its bytes are not those that entry ${seq} names (${previous.slice(0, 12)}…)`,
    };
  }

  #missed({ seq, hash }: Anchor): Break | undefined {
    if (this.#anchor?.seq !== seq) return undefined;
    this.#met = true;
    if (this.#anchor.hash === hash) return undefined;
    return { seq, problem: "its bytes are not those of the anchor" };
  }
}
