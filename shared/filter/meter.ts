/**
 * Bounds what a filter may cost over one message, since CEL has no bound of its own. A step is one node of
 * the expression over 4 KiB of the message. Patterns are matched by RE2, which is linear, and count by
 * their size.
 */
import { RE2JS } from "@bufbuild/re2";

const PATTERN_CHARS = 256;
const PATTERNS_KEPT = 256;
/** How many instructions of a pattern times characters count as one step. */
const MATCHES_PER_STEP = 64;

/** Counts the steps of one filter over one message at a time. */
export class Meter {
  /** True when the filter took more than it may; what it said since then counts for nothing. */
  is_exhausted = false;
  readonly #patterns = new Map<string, RE2JS>();
  #left = 0;
  #weight = 0;

  /**
   * Begins with a message. `weight` are the steps of the whole expression, which each turn of a loop
   * takes again at most. False: that is too many already.
   */
  begin(steps: number, weight: number): boolean {
    this.#left = steps;
    this.#weight = weight;
    this.is_exhausted = false;
    return this.#spend(weight);
  }

  /** Counts one turn of a loop; false ends it. */
  turn(): boolean {
    return this.#spend(this.#weight);
  }

  /** Matches a text. Throws for a pattern that RE2 cannot read, or that is too long. */
  matches(pattern: string, text: string): boolean {
    const compiled = this.#patterns.get(pattern) ?? this.#compile(pattern);
    const work = compiled.re2().prog.inst.length * text.length;
    return this.#spend(1 + Math.floor(work / MATCHES_PER_STEP)) && compiled.test(text);
  }

  #compile(pattern: string): RE2JS {
    if (pattern.length > PATTERN_CHARS) {
      throw new Error(`the pattern has ${pattern.length} characters, at most ${PATTERN_CHARS}`);
    }
    if (!this.#spend(pattern.length)) throw new Error("too many steps");
    const compiled = RE2JS.compile(pattern);
    // A pattern may come out of a message.
    if (this.#patterns.size >= PATTERNS_KEPT) this.#patterns.clear();
    this.#patterns.set(pattern, compiled);
    return compiled;
  }

  #spend(steps: number): boolean {
    this.#left -= steps;
    if (this.#left < 0) this.is_exhausted = true;
    return !this.is_exhausted;
  }
}
