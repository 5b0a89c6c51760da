/**
 * The file descriptors that clients leave to operators, the Spine, policies, and parts of the runtime that end the
 * process if they cannot open a file. The system hands out the lowest free descriptor, so its number shows how many are
 * left. No descriptor is held in reserve, and files opened elsewhere need no counting.
 */
import { closeSync, openSync } from "node:fs";

/**
 * The room for one more client: plenty of descriptors; few, so that clients without a token should make room; only a
 * reserved one, for as long as a refusal takes; none.
 */
export type FileRoom = "plenty" | "little" | "spare" | "none";

/**
 * How many descriptors beyond the reserve a check of the limit probes, at least: as many as may be accepted in one
 * turn.
 */
const LOOK_AHEAD_MIN = 512;

/** Opens and closes descriptors; `open` returns a number and throws the system's own error. */
export interface Descriptors {
  open(): number;
  close(number: number): void;
}

/** The descriptors of this process, opened on a file. */
export function descriptorsBy(path: string): Descriptors {
  return { open: () => openSync(path, "r"), close: closeSync };
}

/** Decides whether clients may take another descriptor. A process has one reserve. */
export class FileReserve {
  /** How many descriptors are left to others; 0 if their numbers cannot be known. */
  readonly files: number = 0;
  readonly #descriptors: Descriptors | undefined;
  readonly #counts: (() => number)[] = [];
  /** Descriptors with numbers below this one can be opened. */
  #known = 0;
  /** The process may open no more. */
  #is_limit = false;

  /**
   * Leaves `count` descriptors to others. With fewer than twice as many, half of them are left; without `descriptors`,
   * none.
   */
  constructor(count: number, descriptors: Descriptors | undefined) {
    this.#descriptors = descriptors;
    const first = descriptors && this.#lowest(descriptors);
    if (descriptors === undefined || first === undefined) return;
    this.#lookAhead(descriptors, first + count, Math.max(count, LOOK_AHEAD_MIN));
    this.files = Math.max(0, Math.min(count, Math.floor((this.#known - first) / 2)));
  }

  /** How many reserved descriptors clients may use while they are refused. */
  get spare(): number {
    return Math.floor(this.files / 4);
  }

  /** Registers a listener of clients; `open` returns its connections. */
  join(open: () => number): void {
    this.#counts.push(open);
  }

  /** Whether clients have descriptors, which they will release some day. */
  isHeld(): boolean {
    return this.#counts.some((open) => open() > 0);
  }

  /** The room for each of the `count` connections just accepted, oldest first. */
  rooms(count: number): readonly FileRoom[] {
    const descriptors = this.#descriptors;
    if (descriptors === undefined || this.files === 0) return Array(count).fill("plenty");
    // They have taken the last free ones below the one that is free now.
    const lowest = this.#lowest(descriptors);
    const needed = (lowest ?? 0) + this.files + this.spare;
    if (!this.#is_limit && needed >= this.#known) {
      this.#lookAhead(descriptors, needed, Math.max(this.files, LOOK_AHEAD_MIN));
    }
    const end = lowest ?? this.#known;
    return Array.from({ length: count }, (_, index) => this.#roomOf(end - count + index));
  }

  /** Whether a descriptor of this number is outside the reserve. */
  isLow(number: number): boolean {
    return number < this.#known - this.files;
  }

  #roomOf(number: number): FileRoom {
    const left = this.#known - this.files - number;
    if (left > this.spare) return "plenty";
    if (left > 0) return "little";
    return left > -this.spare ? "spare" : "none";
  }

  /** The lowest free descriptor; undefined if there is none, 0 if it cannot be known. */
  #lowest(descriptors: Descriptors): number | undefined {
    try {
      const number = descriptors.open();
      descriptors.close(number);
      return number;
    } catch (error) {
      return isOutOfFiles(error) ? undefined : 0;
    }
  }

  /** Opens descriptors until one has the number `from` + `more`, or none is left. */
  #lookAhead(descriptors: Descriptors, from: number, more: number): void {
    const held: number[] = [];
    try {
      for (let number = 0; number < from + more;) held.push(number = descriptors.open());
    } catch (error) {
      // The machine may have descriptors again; the process will not.
      this.#is_limit = (error as { code?: unknown }).code === "EMFILE";
    }
    for (const number of held) {
      this.#known = Math.max(this.#known, number + 1);
      descriptors.close(number);
    }
  }
}

/** Whether the process (EMFILE) or the machine (ENFILE) has no descriptor left. */
export function isOutOfFiles(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as Error & { code?: unknown };
  return code === "EMFILE" || code === "ENFILE" || /\(os error 2[34]\)/.test(error.message);
}

/** The error of a listener that leaves the last descriptors to others. */
export const NO_ROOM: Error = Object.assign(new Error("only reserved file descriptors are left"), {
  code: "EMFILE",
});
