/**
 * Patterns over Spine subjects for mirror rules and schema mappings, and the table that finds the most specific one.
 * Pure. Not NATS's wildcards: a `*` at the very end matches any remainder, dots included. `@arqon/proto` has clients'
 * room patterns.
 */

import { makeAtOnce, type Making } from "../turns/making.ts";

/** Longest pattern, in UTF-16 units, and most tokens of one. */
const PATTERN_UNITS = 256;
const PATTERN_TOKENS = 32;
const TOKEN = /^[A-Za-z0-9_~:=$-]+$/;
/** The last token may be cut off by a `*`. */
const PARTIAL = /^[A-Za-z0-9_~:=$-]*\*$/;

/**
 * What is wrong with a pattern; undefined: nothing. A pattern is tokens with dots between them; a token `*` is any one
 * token, a last token `>` one or more, and a `*` at the very end, alone or after the beginning of a token, any
 * remainder.
 */
export function patternProblem(text: string): string | undefined {
  if (text.length > PATTERN_UNITS) return `more than ${PATTERN_UNITS} characters`;
  const tokens = text.split(".");
  if (tokens.length > PATTERN_TOKENS) return `more than ${PATTERN_TOKENS} tokens`;
  for (const [index, token] of tokens.entries()) {
    const is_last = index === tokens.length - 1;
    if (token === "") return "an empty token";
    if (TOKEN.test(token) || token === "*") continue;
    if (is_last && (token === ">" || PARTIAL.test(token))) continue;
    if (token.includes("*")) return '"*" stands alone between dots, or at the very end';
    if (token.includes(">")) return '">" stands alone as the last token';
    return `a character outside [A-Za-z0-9_~:=$-] in ${JSON.stringify(token)}`;
  }
  return undefined;
}

/** Length of a pattern before its first wildcard, in UTF-16 units. */
function literalUnits(text: string): number {
  const wildcard = text.search(/[*>]/);
  return wildcard === -1 ? text.length : wildcard;
}

/** Whether some subject that begins with `prefix` can match the pattern. */
export function canMatchBelow(pattern: string, prefix: string): boolean {
  const literal = pattern.slice(0, literalUnits(pattern));
  return literal.startsWith(prefix) ||
    (literal.length < pattern.length && prefix.startsWith(literal));
}

/** A matching pattern. The same object for equal answers of one table. */
interface PatternMatch<T> {
  readonly pattern: string;
  readonly value: T;
  /** Higher is more specific; ties are broken by the text, so that every process agrees. */
  readonly specificity: number;
}

/** A compiled list of patterns. Immutable. */
export interface PatternTable<T> {
  readonly size: number;
  /**
   * The most specific match: the longest text before the first wildcard wins; then the one with more text after it;
   * then exact before `>` before a trailing `*`. Takes time by the length of the subject, and at most logarithmic time
   * by the number of patterns.
   */
  match(subject: string): PatternMatch<T> | undefined;
  /** Every match, the most specific first. For explanations, not for the message path. */
  all(subject: string): PatternMatch<T>[];
}

const EXACT = 3;
const NO_REMAINDER = 2;
const TOKENS = 1;
const REMAINDER = 0;

/** Literal prefix, then all literal characters, then the kind, in one number. */
function specificityOf(text: string): number {
  const before = literalUnits(text);
  const literals = text.replace(/[*>]/g, "").length;
  const last = text.at(-1);
  const open = last === ">" ? TOKENS : last === "*" ? REMAINDER : NO_REMAINDER;
  const kind = before === text.length ? EXACT : open;
  return (before * 1_024 + literals) * 4 + kind;
}

/**
 * Negative if `a` is more specific than `b`, positive if `b` is, 0 for the same pattern. Only meaningful for two that
 * match the same subject.
 */
export function compareSpecificity(
  a: Pick<PatternMatch<unknown>, "pattern" | "specificity">,
  b: Pick<PatternMatch<unknown>, "pattern" | "specificity">,
): number {
  if (a.specificity !== b.specificity) return b.specificity - a.specificity;
  return a.pattern < b.pattern ? -1 : a.pattern > b.pattern ? 1 : 0;
}

/** A prefix of a remainder, and the longest shorter one that is a prefix of this. */
interface Beginning<T> {
  readonly text: string;
  readonly match: PatternMatch<T>;
  readonly shorter: Beginning<T> | undefined;
}

/** Patterns that agree up to here, token by token. */
class Node<T> {
  readonly children = new Map<string, Node<T>>();
  any: Node<T> | undefined;
  end: PatternMatch<T> | undefined;
  tokens: PatternMatch<T> | undefined;
  /** Patterns that continue with the beginning of a token and `*`; sorted by `seal`. */
  readonly open = new Map<string, PatternMatch<T>>();
  #beginnings: Beginning<T>[] = [];

  *seal(): Making<void> {
    const sorted = [...this.open].sort(([a], [b]) => a < b ? -1 : 1);
    for (const [text, match] of sorted) {
      let shorter: Beginning<T> | undefined = this.#beginnings.at(-1);
      while (shorter !== undefined && !text.startsWith(shorter.text)) shorter = shorter.shorter;
      this.#beginnings.push({ text, match, shorter });
    }
    yield;
    for (const child of this.children.values()) yield* child.seal();
    if (this.any !== undefined) yield* this.any.seal();
  }

  longestOpen(subject: string, at: number): Beginning<T> | undefined {
    const beginnings = this.#beginnings;
    if (beginnings.length === 0) return undefined;
    const remainder = subject.slice(at);
    let low = 0;
    let high = beginnings.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (beginnings[middle]!.text <= remainder) low = middle + 1;
      else high = middle;
    }
    // The longest prefix of the remainder is the greatest text that does not sort after it, or a prefix of that text.
    let found = beginnings[low - 1];
    while (found !== undefined && !remainder.startsWith(found.text)) found = found.shorter;
    return found;
  }
}

function add<T>(root: Node<T>, pattern: string, value: T): boolean {
  const match = { pattern, value, specificity: specificityOf(pattern) };
  const tokens = pattern.split(".");
  const last = tokens.at(-1)!;
  const open = last === ">" || last.endsWith("*");
  let node = root;
  for (const token of open ? tokens.slice(0, -1) : tokens) {
    let next = token === "*" ? node.any : node.children.get(token);
    if (next === undefined) {
      next = new Node<T>();
      if (token === "*") node.any = next;
      else node.children.set(token, next);
    }
    node = next;
  }
  if (!open) {
    const is_new = node.end === undefined;
    node.end = match;
    return is_new;
  }
  if (last === ">") {
    const is_new = node.tokens === undefined;
    node.tokens = match;
    return is_new;
  }
  const beginning = last.slice(0, -1);
  const is_new = !node.open.has(beginning);
  node.open.set(beginning, match);
  return is_new;
}

/** Calls `found` for each match, of trailing `*` at one place only the longest unless `every`. */
function walk<T>(
  node: Node<T>,
  subject: string,
  at: number,
  every: boolean,
  found: (match: PatternMatch<T>) => void,
): void {
  if (at > subject.length) {
    if (node.end !== undefined) found(node.end);
    return;
  }
  if (node.tokens !== undefined) found(node.tokens);
  let open = node.longestOpen(subject, at);
  while (open !== undefined) {
    found(open.match);
    open = every ? open.shorter : undefined;
  }
  if (node.any === undefined && node.children.size === 0) return;
  const dot = subject.indexOf(".", at);
  const end = dot === -1 ? subject.length : dot;
  const child = node.children.get(subject.slice(at, end));
  if (child !== undefined) walk(child, subject, end + 1, every, found);
  if (node.any !== undefined) walk(node.any, subject, end + 1, every, found);
}

/** The more specific of two matches of one subject; of two with the same pattern, the second. */
export function moreSpecific<T>(
  one: PatternMatch<T> | undefined,
  other: PatternMatch<T> | undefined,
): PatternMatch<T> | undefined {
  if (one === undefined || other === undefined) return other ?? one;
  return compareSpecificity(one, other) < 0 ? one : other;
}

/**
 * Compiles patterns with their values; of two equal ones the later wins. Throws TypeError, naming the fault, for an
 * invalid pattern.
 */
export function compilePatterns<T>(
  entries: Iterable<readonly [pattern: string, value: T]>,
): PatternTable<T> {
  return makeAtOnce(compilingPatterns(entries));
}

/** As `compilePatterns`, a pattern in each step. */
export function* compilingPatterns<T>(
  entries: Iterable<readonly [pattern: string, value: T]>,
): Making<PatternTable<T>> {
  const root = new Node<T>();
  let size = 0;
  for (const [pattern, value] of entries) {
    const problem = patternProblem(pattern);
    if (problem !== undefined) {
      throw new TypeError(`not a subject pattern: ${JSON.stringify(pattern)}: ${problem}`);
    }
    if (add(root, pattern, value)) size++;
    yield;
  }
  yield* root.seal();
  return {
    size,
    match(subject) {
      let best: PatternMatch<T> | undefined;
      walk(root, subject, 0, false, (match) => {
        if (best === undefined || compareSpecificity(match, best) < 0) best = match;
      });
      return best;
    },
    all(subject) {
      const matches: PatternMatch<T>[] = [];
      walk(root, subject, 0, true, (match) => matches.push(match));
      return matches.sort(compareSpecificity);
    },
  };
}
