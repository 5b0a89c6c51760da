/**
 * Checks that entries of the audit log form a chain: each has the next number and the previous entry's hash. A changed,
 * removed, inserted or moved entry is detected at the first one that does not fit. A removal of the newest entries is
 * only detected by an anchor, a number and hash from an earlier check. Pure.
 */
import { type AuditEntry, decodeEntry, entryHash, NO_HASH } from "./entry.ts";

/** The number and the hash of one entry. */
export interface Anchor {
  readonly seq: number;
  readonly hash: string;
}

/** The first entry that does not fit. */
interface Break {
  /** The number of that entry, or of the missing one. */
  readonly seq: number;
  /** The problem, for people. */
  readonly problem: string;
}

/** Checks entries in order, oldest first, and records the first one that does not fit. */
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

  /** The oldest checked entry. */
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

  /** Checks the next entry's stored bytes; entries after a break are ignored. */
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

  /** Ends the check; returns the break, if there is one. */
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
      return { seq, problem: "it is the first entry, but refers to a previous one" };
    }
    if (seq > expected) {
      return { seq: expected, problem: `it is missing: the next entry is ${seq}` };
    }
    if (seq < expected) return { seq, problem: `it is after entry ${expected - 1}` };
    if (previous === this.#last?.hash) return undefined;
    return {
      seq: expected - 1,
      problem: `its bytes differ from the hash in entry ${seq} (${previous.slice(0, 12)}…)`,
    };
  }

  #missed({ seq, hash }: Anchor): Break | undefined {
    if (this.#anchor?.seq !== seq) return undefined;
    this.#met = true;
    if (this.#anchor.hash === hash) return undefined;
    return { seq, problem: "its bytes differ from the anchor's hash" };
  }
}
