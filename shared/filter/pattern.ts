/**
 * A filter's pattern (RE2), compiled once and charged as it runs. RE2 makes the states of its automaton while it reads:
 * an existing state costs almost nothing, a new one as much as the pattern is long. So each new state is charged, and
 * the states of all patterns of the process are limited.
 */
import { RE2JS } from "@bufbuild/re2";

const PATTERN_CHARS = 256;
/** The most instructions of a compiled pattern: compiling them takes some 5 ms. */
const PATTERN_INSTRUCTIONS = 1_000;
/** The most states and transitions of all patterns, at 1 to 5 KB a state; beyond that, all are dropped. */
const STATES_KEPT = 16_384;
const TRANSITIONS_KEPT = 262_144;
/** RE2's number for an instruction that checks for a boundary: of the text, a line or a word. */
const EMPTY_WIDTH = 4;
/** Characters per step that lead to existing states. */
const CHARS_PER_STEP = 16;
/** The most literals that RE2 may look for before it matches: each is a search of its own through the text. */
const LITERALS_MAX = 4;
/** The price of compiling a part; that of a range of a class is one step. */
const STEPS_A_PART = 2;
/** The ranges that a table of Unicode counts as; the largest have some 700, and as many again for folded letters. */
const TABLE_RANGES = 1_500;
/** The characters that it folds of a group such as `\w`. */
const GROUP_CHARS = 64;
/** The first and the last character that `(?i)` folds. RE2 folds those of a range one by one, unless it has all. */
const FOLDED = [0x41, 0x1e943] as const;
const FOLDS = /\(\?[imsU]*i/;
/** The parts of a pattern: quoted text, classes, numbers of repetitions, and characters. */
const PARTS =
  /\\Q[^]*?(?:\\E|$)|\\[pP]\{[^}]*\}|\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]])*\]?|\{\d+(?:,\d*)?\}|[^]/gu;
const CHAR = String.raw`\\x\{[^}]*\}|\\x[^][^]|\\[0-7]{1,3}|\\[^]|[^]`;
/** The parts of a class: others', or a character or the range from it on. */
const CLASS_PARTS = new RegExp(
  String.raw`\[:\^?\w+:\]|\\[pP](?:\{[^}]*\}|[^])|\\[dDsSwW]|(${CHAR})(?:-(${CHAR}))?`,
  "gu",
);

/** Quoted text, names of tables of Unicode, and other escapes. */
const TABLES = /\\Q[^]*?(?:\\E|$)|\\[pP](?:\{\^?([^}]*)\}|([^]))|\\[^]/gu;
/** Tables of Unicode that RE2 has made. It makes each out of all characters, which takes up to 0.1 s. */
const made = new Set<string>();
/** The price of making one. */
export const TABLE_STEPS = 100_000;

/** The tables of Unicode that these patterns need, and that RE2 has not made yet. */
export function newTables(patterns: readonly string[]): Set<string> {
  const names = patterns.flatMap((text) =>
    [...text.matchAll(TABLES)].flatMap(([, name, letter]) => name ?? letter ?? [])
  );
  return new Set(names).difference(made);
}

/** Makes a table of Unicode. Throws if there is none of that name, which is not kept: anybody may write names. */
export function makeTable(name: string): void {
  RE2JS.compile(`\\p{${name}}`);
  made.add(name);
}

/** Charges steps to a filter; false: it has too few left. */
export type Spend = (steps: number) => boolean;

type Automaton = ReturnType<RE2JS["re2"]>["dfa"];

/** Patterns whose automata have states. */
const warm = new Set<Automaton>();
let states = 0;
let transitions = 0;

function forgetStates(): void {
  for (const automaton of warm) {
    automaton.stateCache.clear();
    automaton.stateCount = 0;
    automaton.startState = null;
  }
  warm.clear();
  states = transitions = 0;
}

/** One compiled pattern. */
export class Pattern {
  readonly #compiled: RE2JS;
  readonly #spend: Spend;
  /** Steps per character: boundaries are checked in each state at each character. */
  readonly #steps_a_char: number;

  /**
   * Throws an `Error` that names the fault if RE2 cannot parse it, or it is too large. `pay` is called with the steps
   * of compiling it, before.
   */
  constructor(text: string, spend: Spend, pay: (steps: number) => void) {
    if (text.length > PATTERN_CHARS) {
      throw new Error(`the pattern has ${text.length} characters, at most ${PATTERN_CHARS}`);
    }
    const repeated = timesRepeated(text);
    if (repeated > PATTERN_INSTRUCTIONS) {
      throw new Error(
        `the pattern repeats too much: some ${repeated} parts, at most ${PATTERN_INSTRUCTIONS}`,
      );
    }
    pay(compileSteps(text));
    this.#spend = spend;
    this.#compiled = RE2JS.compile(text);
    const re2 = this.#compiled.re2();
    if (literalsOf(re2.prefilter) > LITERALS_MAX) re2.prefilter = null;
    const { prog, dfa } = re2;
    const instructions = prog.inst.length;
    if (instructions > PATTERN_INSTRUCTIONS) {
      throw new Error(`the pattern has ${instructions} parts, at most ${PATTERN_INSTRUCTIONS}`);
    }
    const has_edges = prog.inst.some(({ op }) => op === EMPTY_WIDTH);
    this.#steps_a_char = (has_edges ? instructions + 1 : 1) / CHARS_PER_STEP;
    payForStates(dfa, 1 + Math.ceil(instructions / 2), spend);
  }

  /** Whether it matches in a text. Throws when the steps are used up. */
  isIn(text: string): boolean {
    if (!this.#spend(Math.floor(text.length * this.#steps_a_char))) {
      throw new Error("too many steps");
    }
    return this.#compiled.test(text);
  }
}

/** Charges each new state of an automaton, and keeps RE2 from its slower mode for many states. */
function payForStates(automaton: Automaton, steps: number, spend: Spend): void {
  const make = automaton.getState.bind(automaton);
  automaton.stateLimit = Infinity;
  automaton.getState = (instructions) => {
    if (!spend(steps)) throw new Error("too many steps");
    if (states >= STATES_KEPT || transitions >= TRANSITIONS_KEPT) forgetStates();
    const before = automaton.stateCount;
    const state = make(instructions);
    states += automaton.stateCount - before;
    transitions++;
    warm.add(automaton);
    return state;
  };
}

/** The price of compiling a pattern, in steps. */
export function compileSteps(text: string): number {
  return text.length + STEPS_A_PART * timesRepeated(text) + rangesOf(text);
}

function literalsOf(prefilter: ReturnType<RE2JS["re2"]>["prefilter"]): number {
  if (prefilter === null) return 0;
  return prefilter.subs.reduce((sum, one) => sum + literalsOf(one), prefilter.str === "" ? 0 : 1);
}

/** How many ranges RE2 makes of a pattern's classes at most, those of single characters that it folds included. */
function rangesOf(text: string): number {
  const folds = FOLDS.test(text);
  let ranges = 0;
  for (const [token] of text.matchAll(PARTS)) {
    ranges += TABLE_RANGES * (token.match(/\\[pP]/g)?.length ?? 0);
    if (!folds) continue;
    ranges += GROUP_CHARS * (token.match(/\\[wW]|\[:/g)?.length ?? 0);
    if (!token.startsWith("[")) continue;
    for (
      const [, from, to] of token.replace(/^\[\^?/, "").replace(/\]$/, "").matchAll(CLASS_PARTS)
    ) {
      if (from !== undefined && to !== undefined) ranges += foldedIn(codeOf(from), codeOf(to));
    }
  }
  return ranges;
}

function foldedIn(from: number, to: number): number {
  const [first, last] = FOLDED;
  if (from <= first && to >= last) return 0;
  return Math.max(0, Math.min(to, last) - Math.max(from, first));
}

/** The code point of a character in a class. */
function codeOf(char: string): number {
  if (/^\\x/.test(char)) return parseInt(char.replace(/^\\x\{?/, ""), 16) || 0;
  if (/^\\[0-7]/.test(char)) return parseInt(char.slice(1), 8);
  return char.codePointAt(char.length > 1 && char.startsWith("\\") ? 1 : 0) ?? 0;
}

/** An upper bound of a pattern's parts once its `{n,m}` are expanded. */
function timesRepeated(text: string): number {
  /** For each open group the parts so far, and those of its last part. */
  const groups = [{ sum: 0, last: 0 }];
  for (const [token] of text.matchAll(PARTS)) {
    const group = groups.at(-1)!;
    const times = /^\{(\d+)(?:,(\d*))?\}$/.exec(token);
    if (times !== null) {
      const most = Math.max(Number(times[1]) + 1, Number(times[2] || 0));
      group.sum += group.last * (most - 1);
      group.last *= most;
    } else if (token === "(") groups.push({ sum: 0, last: 0 });
    else if (token === ")" && groups.length > 1) {
      const { sum } = groups.pop()!;
      const outer = groups.at(-1)!;
      outer.last = sum + 2;
      outer.sum += outer.last;
    } else {
      group.last = token.startsWith("\\Q") ? token.length : 1;
      group.sum += group.last;
    }
  }
  return groups.reduce((sum, group) => sum + group.sum, 0);
}
