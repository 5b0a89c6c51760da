/**
 * A filter of messages in CEL (https://cel.dev): parsed and planned once, with a limit of its cost per message.
 * Independent of rooms, subscribers and connections. Pure.
 */
import { BoundedMap } from "../containers/bounded_map.ts";
import { celEnv, celFunc, celMethod, CelScalar, parse, plan } from "@bufbuild/cel";
import { ArqonError } from "@arqon/proto";
import { Meter } from "./meter.ts";
import { Pattern } from "./pattern.ts";
import { countTurns, inspect, TURN } from "./syntax.ts";
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
/** White space in a row, which the parser scans again for each character. */
const BLANKS_MAX = 64;
const BLANKS = new RegExp(`\\s{${BLANKS_MAX + 1}}`);

/** The limits of a room class's filter, which an operator writes. */
const CLASS_LIMITS: FilterLimits = { filter_chars: 4_096, filter_steps: 10_000 };

const meter = new Meter();
/** The patterns of the running filter. */
let patterns: ReadonlyMap<string, Pattern> = new Map();
const matches = (pattern: string, text: string) => patterns.get(pattern)!.isIn(text);
const { STRING, BOOL } = CelScalar;
const ENV = meter.metered(celEnv({
  funcs: [
    celFunc(TURN, [], BOOL, () => meter.turn()),
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
  /** The steps of compiling it. */
  readonly price: number;
  readonly #limits: FilterLimits;
  readonly #nodes: number;
  readonly #patterns: ReadonlyMap<string, Pattern>;
  readonly #run: (names: object) => unknown;

  /** Compiles a filter that may use these names. Throws `invalid-filter` (400): what is wrong, and where. */
  constructor(text: string, limits: FilterLimits, names: readonly FilterName[]) {
    this.text = text;
    this.#limits = limits;
    if (text.length > limits.filter_chars) {
      refuse(`${text.length} characters, at most ${limits.filter_chars}`);
    }
    if (BLANKS.test(text)) refuse(`more than ${BLANKS_MAX} characters of white space in a row`);
    const expr = parsed(text);
    const found = inspect(expr, names, (name) => knows(name));
    const { problem, nodes, cost, claims } = found;
    if (problem !== undefined) refuse(problem);
    if (cost > limits.filter_steps) {
      refuse(`it may take ${cost} steps a message, at most ${limits.filter_steps}`);
    }
    this.claims = claims;
    this.#nodes = nodes;
    this.#patterns = compiled(found.patterns);
    this.price = PARSE_STEPS * text.length;
    for (const { price } of this.#patterns.values()) this.price += price;
    countTurns(expr);
    this.#run = plan(ENV, expr) as (names: object) => unknown;
  }

  /** Judges a message for the holder of these claims, in the form of `celData`. Never throws. */
  judge(view: MessageView, claims: unknown): FilterVerdict {
    const steps = view.stepsFor(this.#limits.filter_steps);
    let result: unknown;
    try {
      if (!meter.begin(steps, this.#nodes, view.size_bytes)) return "cost";
      patterns = this.#patterns;
      result = this.#run(view.names(claims));
    } catch {
      // No error of a filter may end a fan-out.
      result = undefined;
    } finally {
      view.steps += steps - Math.max(meter.left, 0);
    }
    if (meter.is_exhausted) return "cost";
    return typeof result === "boolean" ? result : "error";
  }
}

/** Compiles the filter of a room class, which may use claims. Throws `invalid-filter`. */
export function classProgram(text: string): FilterProgram {
  return new FilterProgram(text, CLASS_LIMITS, ["type", "sender", "headers", "data", "claims"]);
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

function compiled(texts: readonly string[]): Map<string, Pattern> {
  if (texts.length > PATTERNS_MAX) refuse(`${texts.length} patterns, at most ${PATTERNS_MAX}`);
  try {
    return new Map(texts.map((text) => [text, new Pattern(text, meter.spend)]));
  } catch (error) {
    return refuse((error as Error).message);
  }
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
