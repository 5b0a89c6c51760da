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
  /** The steps of compiling it. */
  readonly price: number;
  readonly #compiled: RE2JS;
  readonly #spend: Spend;
  /** Steps per character: boundaries are checked in each state at each character. */
  readonly #steps_a_char: number;

  /** Throws an `Error` that names the fault if RE2 cannot parse it, or it is too large. */
  constructor(text: string, spend: Spend) {
    if (text.length > PATTERN_CHARS) {
      throw new Error(`the pattern has ${text.length} characters, at most ${PATTERN_CHARS}`);
    }
    const repeated = timesRepeated(text);
    if (repeated > PATTERN_INSTRUCTIONS) {
      throw new Error(
        `the pattern repeats too much: some ${repeated} parts, at most ${PATTERN_INSTRUCTIONS}`,
      );
    }
    this.#spend = spend;
    this.#compiled = RE2JS.compile(text);
    const { prog, dfa } = this.#compiled.re2();
    const instructions = prog.inst.length;
    if (instructions > PATTERN_INSTRUCTIONS) {
      throw new Error(`the pattern has ${instructions} parts, at most ${PATTERN_INSTRUCTIONS}`);
    }
    this.price = text.length + 10 * instructions;
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

/** An upper bound of a pattern's parts once its `{n,m}` are expanded. */
function timesRepeated(text: string): number {
  /** For each open group the parts so far, and those of its last part. */
  const groups = [{ sum: 0, last: 0 }];
  for (
    const [token] of text.matchAll(
      /\\Q[^]*?(?:\\E|$)|\\[pP]\{[^}]*\}|\\.|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]])*\]?|\{\d+(?:,\d*)?\}|[^]/gu,
    )
  ) {
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
