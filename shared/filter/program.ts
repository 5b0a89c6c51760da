/**
 * A filter of messages in CEL (https://cel.dev): parsed and planned once, with a limit of its cost per message.
 * Independent of rooms, subscribers and connections. Pure.
 */
import { BoundedMap } from "../containers/bounded_map.ts";
import { celEnv, celFunc, celMethod, CelScalar, parse, plan } from "@bufbuild/cel";
import { ArqonError } from "@arqon/proto";
import { Meter } from "./meter.ts";
import { makeTable, newTables, Pattern, TABLE_STEPS } from "./pattern.ts";
import { countTurns, inspect, RANGE, TURN } from "./syntax.ts";
import type { Expr } from "./syntax.ts";
import type { FilterName, FilterVerdict, MessageView } from "./message_view.ts";

/** The limits of one filter; `filter_steps` is read for each message. */
export interface FilterLimits {
  /** The most UTF-16 units of its text. */
  readonly filter_chars: number;
  /** The most steps on one message. */
  readonly filter_steps: number;
}

/** Steps of parsing, per character. */
const PARSE_STEPS = 8;
const PATTERNS_MAX = 16;
/** The most steps of compiling the patterns of one filter: they run in one go. */
const COMPILE_STEPS = 40_000;
/** When a filter whose tables of Unicode are not all made yet may come again, in ms. */
const TABLE_WAIT_MS = 200;
/** White space in a row, which the parser scans again for each character. */
const BLANKS_MAX = 64;
const BLANKS = new RegExp(`\\s{${BLANKS_MAX + 1}}`);
/** Brackets inside each other: if one is not closed, the parser takes seconds with hundreds of them. */
const NESTED_MAX = 32;

/** The limits of a room class's filter, which an operator writes. */
const CLASS_LIMITS: FilterLimits = { filter_chars: 4_096, filter_steps: 10_000 };

const meter = new Meter();
/** How often the running filter may use what it takes out of `data` at once. */
let uses = 1;
/** Pays for a use of `data`. */
function payUse(steps: number): void {
  if (steps > 0 && !meter.spend(steps * uses)) throw new Error("too many steps");
}
/** The patterns of the running filter. */
let patterns: ReadonlyMap<string, Pattern> = new Map();
const matches = (pattern: string, text: string) => patterns.get(pattern)!.isIn(text);
const { STRING, BOOL, DYN } = CelScalar;
const ENV = meter.metered(celEnv({
  funcs: [
    celFunc(TURN, [], BOOL, () => meter.turn()),
    celFunc(RANGE, [DYN], DYN, (all) => meter.range(all)),
    celFunc("matches", [STRING, STRING], BOOL, (text, pattern) => matches(pattern, text)),
    celMethod("matches", STRING, [STRING], BOOL, function (pattern) {
      return matches(pattern, String(this));
    }),
  ],
}));

/** One compiled filter, shared by all subscribers with the same text. */
export class FilterProgram {
  readonly text: string;
  /** The claims that it reads, sorted; "*": all of them. */
  readonly claims: readonly string[];
  readonly #limits: FilterLimits;
  readonly #nodes: number;
  readonly #uses: number;
  readonly #patterns: ReadonlyMap<string, Pattern>;
  readonly #run: (names: object) => unknown;

  /**
   * Compiles a filter that may use these names; `pay` is called with the steps of each part before it is compiled.
   * Throws `invalid-filter` (400): what is wrong, and where.
   */
  constructor(
    text: string,
    limits: FilterLimits,
    names: readonly FilterName[],
    pay: (steps: number) => void = () => {},
  ) {
    this.text = text;
    this.#limits = limits;
    if (text.length > limits.filter_chars) {
      refuse(`${text.length} characters, at most ${limits.filter_chars}`);
    }
    if (BLANKS.test(text)) refuse(`more than ${BLANKS_MAX} characters of white space in a row`);
    if (nestingOf(text) > NESTED_MAX) refuse(`more than ${NESTED_MAX} brackets inside each other`);
    pay(PARSE_STEPS * text.length);
    const expr = parsed(text);
    const found = inspect(expr, names, (name) => knows(name));
    const { problem, nodes, cost, claims } = found;
    if (problem !== undefined) refuse(problem);
    if (cost > limits.filter_steps) {
      refuse(`it may take ${cost} steps a message, at most ${limits.filter_steps}`);
    }
    this.claims = claims;
    this.#nodes = nodes;
    this.#uses = 1 + found.inner;
    this.#patterns = compiled(found.patterns, pay, limits === CLASS_LIMITS ? Infinity : 1);
    countTurns(expr);
    this.#run = plan(ENV, expr) as (names: object) => unknown;
  }

  /** Judges a message for the holder of these claims, in the form of `celData`. Never throws. */
  judge(view: MessageView, claims: unknown): FilterVerdict {
    const steps = view.stepsFor(this.#limits.filter_steps);
    let result: unknown;
    const { stackTraceLimit } = Error;
    // CEL makes an error for each part without a value; where it was made nobody asks.
    Error.stackTraceLimit = 0;
    try {
      if (!meter.begin(steps, this.#nodes, view.size_bytes)) return "cost";
      patterns = this.#patterns;
      uses = this.#uses;
      result = this.#run(view.names(claims, payUse));
    } catch {
      // No error of a filter may end a fan-out.
      result = undefined;
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
      view.steps += steps - Math.max(meter.left, 0);
    }
    if (meter.is_exhausted) return "cost";
    return typeof result === "boolean" ? result : "error";
  }
}

/** Compiles the filter of a room class, which may use claims. Throws `invalid-filter`. */
export function classProgram(text: string, pay?: (steps: number) => void): FilterProgram {
  const names = ["type", "sender", "headers", "data", "claims"] as const;
  return new FilterProgram(text, CLASS_LIMITS, names, pay);
}

/** The most valid class filters that are cached: twice those of one configuration, for a reload. */
const RIGHT_MAX = 20_000;
const right = new BoundedMap<string, true>(RIGHT_MAX);

/** The problem of a room class's filter; undefined: none. */
export function classFilterProblem(text: string): string | undefined {
  if (right.use(text) === true) return undefined;
  try {
    classProgram(text);
    right.set(text, true);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/**
 * Makes so many tables; with more of them the filter has to be given again, since making them takes long. Throws for a
 * name of no table.
 */
function makeTables(names: ReadonlySet<string>, pay: (steps: number) => void, most: number): void {
  for (const name of [...names].slice(0, most)) {
    pay(TABLE_STEPS);
    makeTable(name);
  }
  if (names.size <= most) return;
  throw new ArqonError("rate-limited", "tables of Unicode are made one by one; retry the filter", {
    retry_after_ms: TABLE_WAIT_MS,
  });
}

function compiled(
  texts: readonly string[],
  pay: (steps: number) => void,
  tables_max: number,
): Map<string, Pattern> {
  if (texts.length > PATTERNS_MAX) refuse(`${texts.length} patterns, at most ${PATTERNS_MAX}`);
  let paid = 0;
  const payAll = (steps: number) => {
    paid += steps;
    if (paid > COMPILE_STEPS) {
      throw new Error(`its patterns take ${paid} steps to compile, at most ${COMPILE_STEPS}`);
    }
    pay(steps);
  };
  try {
    makeTables(newTables(texts), pay, tables_max);
    return new Map(texts.map((text) => [text, new Pattern(text, meter.spend, payAll)]));
  } catch (error) {
    if (error instanceof ArqonError) throw error;
    return refuse((error as Error).message);
  }
}

/** How many brackets are inside each other at most, those in quoted text included. */
function nestingOf(text: string): number {
  let depth = 0;
  let most = 0;
  for (const char of text) {
    if ("([{".includes(char)) most = Math.max(most, ++depth);
    else if (depth > 0 && ")]}".includes(char)) depth--;
  }
  return most;
}

function parsed(text: string): Expr {
  try {
    const { expr } = parse(text);
    if (expr !== undefined) return expr;
  } catch (error) {
    const message = (error as Error).message.replace(/^<input>:/, "");
    // The list of all expected tokens is not helpful.
    refuse(message.split(" but expecting ")[0]!);
  }
  return refuse("it is empty");
}

function knows(name: string): boolean {
  return ENV.funcs.find(name) !== undefined;
}

function refuse(detail: string): never {
  throw new ArqonError("invalid-filter", detail);
}
