/**
 * Limits the cost of a schema's rules at run time. CEL has no limit of its own, so each iteration of a macro (`all`,
 * `map` and so on) calls `matches` with a mark that counts it, and so does each `contains`, for which the engine may
 * compare each character of a text with each of the needle. RE2 matches patterns in linear time, and they count by
 * their size. Expressions are handled as text only.
 */
import process from "node:process";
import { RE2JS } from "@bufbuild/re2";
import { compileSteps } from "../../../shared/filter/pattern.ts";
import type { SchemaLimits } from "./validate_types.ts";
import { RuleSchema } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import type {
  FieldRules,
  StringRules,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { create } from "@bufbuild/protobuf";

/** The mark. It is not an RE2 pattern, so it differs from every pattern of a schema. */
const TURN = "(?#turn)";
const UNIQUE = "(?#unique)";
const TURN_CALL = `"".matches("${TURN}")`;
const UNIQUE_CALL = `"".matches("${UNIQUE}")`;
/** The prefix of the needle's length, if the expression has the needle. */
const CONTAINS = "(?#contains ";

/** The macros that loop; `map` may have a filter as well. */
const MACROS = new Set(["all", "exists", "exists_one", "existsOne", "filter", "map"]);
/** Instructions of a pattern times characters that count as one step. */
const MATCHES_PER_STEP = 16;
/** Bytes that count as one step of `unique`, which compares each element with the earlier ones. */
const UNIQUE_BYTES_PER_STEP = 512;
/** Pairs of a text's and a needle's characters that count as one step of `contains`. */
const PAIRS_PER_STEP = 4_096;
/** Steps between two readings of the clock. */
const STEPS_PER_LOOK = 16;
/** Messages that take less are not measured, in ms: to read the CPU takes 20 to 100 µs. */
const SHORT_MS = 1;
const PATTERNS_KEPT = 1_024;

/** What the work of rules is measured by, in ms: a clock that only goes forward, and this thread's CPU. */
export interface RuleClock {
  readonly now_ms: () => number;
  readonly cpu_ms: () => number;
}

/** The clock of this thread. */
export const THREAD_CLOCK: RuleClock = {
  now_ms: () => performance.now(),
  cpu_ms() {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1_000;
  },
};

/** Counts steps while the rules look at one message. */
export class RuleSteps {
  /** True once the rules exceeded their limit; later results do not count. */
  exhausted = false;
  /** The steps of all messages so far. */
  taken = 0;
  readonly #limits: SchemaLimits;
  readonly #clock: RuleClock;
  readonly #patterns = new Map<string, RE2JS>();
  #steps = 0;
  #turns = 0;
  #size_bytes = 0;
  /** When the CPU is read next. */
  #look_ms = 0;
  /** The CPU at its first reading; undefined: this message took too little so far. */
  #from_cpu_ms: number | undefined;

  constructor(limits: SchemaLimits, clock: RuleClock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** Starts with a message of this size. */
  begin(size_bytes: number): void {
    this.exhausted = false;
    this.#steps = 0;
    this.#turns = 0;
    this.#size_bytes = size_bytes;
    this.#look_ms = this.#clock.now_ms() + SHORT_MS;
    this.#from_cpu_ms = undefined;
  }

  /** Matches a text with a pattern, for protovalidate. Throws as RE2 does for an invalid pattern. */
  readonly matches = (pattern: string, text: string): boolean => {
    if (pattern === TURN) return this.#spend(1);
    if (pattern === UNIQUE) return this.#spend(1 + this.#size_bytes / UNIQUE_BYTES_PER_STEP);
    if (pattern.startsWith(CONTAINS)) return this.#spend(1 + this.#pairs(pattern) / PAIRS_PER_STEP);
    const is_host = matchesHost(pattern, text);
    if (is_host !== undefined) return this.#spend(1 + text.length / MATCHES_PER_STEP) && is_host;
    const compiled = this.#compile(pattern);
    const work = compiled.re2().prog.inst.length * text.length;
    return this.#spend(1 + work / MATCHES_PER_STEP) && compiled.test(text);
  };

  /** The most pairs that a `contains` compares: both are parts of the message, unless the expression has the needle. */
  #pairs(mark: string): number {
    const needle = parseInt(mark.slice(CONTAINS.length));
    const half = this.#size_bytes / 2;
    return isNaN(needle) ? half * half : needle * this.#size_bytes;
  }

  #spend(steps: number): boolean {
    this.#steps += steps;
    this.taken += steps;
    if (this.#steps > this.#limits.rule_steps) this.exhausted = true;
    if (++this.#turns % STEPS_PER_LOOK === 0 && this.#isLong()) this.exhausted = true;
    return !this.exhausted;
  }

  /** Whether too much CPU is used. A machine that stalls uses none; and CPU is read no earlier than it can be too much. */
  #isLong(): boolean {
    const now_ms = this.#clock.now_ms();
    if (now_ms < this.#look_ms) return false;
    const cpu_ms = this.#clock.cpu_ms();
    this.#from_cpu_ms ??= cpu_ms;
    const left_ms = this.#limits.rule_cpu_ms - (cpu_ms - this.#from_cpu_ms);
    this.#look_ms = now_ms + Math.max(left_ms, SHORT_MS);
    return left_ms <= 0;
  }

  /** Compiles a pattern. It may come out of a message, so few are kept, and long ones are refused. */
  #compile(pattern: string): RE2JS {
    let compiled = this.#patterns.get(pattern);
    if (compiled === undefined) {
      checkPattern(pattern, this.#limits);
      // A filter's step is half as long.
      if (!this.#spend(compileSteps(pattern) / 2)) throw new Error("the pattern is too large");
      compiled = RE2JS.compile(pattern);
      if (this.#patterns.size >= PATTERNS_KEPT) this.#patterns.clear();
      this.#patterns.set(pattern, compiled);
    }
    return compiled;
  }
}

function checkPattern(pattern: string, limits: SchemaLimits): void {
  if (pattern.length <= limits.expression_chars) return;
  throw new Error(
    `the pattern has ${pattern.length} characters, at most ${limits.expression_chars}`,
  );
}

/** The problem with a pattern of a schema; `undefined` if there is none. */
export function patternProblem(pattern: string, limits: SchemaLimits): string | undefined {
  try {
    checkPattern(pattern, limits);
    RE2JS.compile(pattern);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

interface Token {
  readonly text: string;
  readonly at: number;
}

/** The tokens of CEL: strings with their prefixes, comments and blanks, names, and single characters. */
const TOKEN = new RegExp(
  [
    /(?:[bB]?[rR]|[rR][bB])(?:"""[^]*?"""|'''[^]*?'''|"[^"\r\n]*"|'[^'\r\n]*')/,
    /[bB]?(?:"""(?:\\[^]|[^\\])*?"""|'''(?:\\[^]|[^\\])*?''')/,
    /[bB]?(?:"(?:\\.|[^"\\\r\n])*"|'(?:\\.|[^'\\\r\n])*')/,
    /`[^`]*`/,
    /\s+|\/\/[^\r\n]*/,
    /\w+/,
    /[^]/,
  ].map((part) => part.source).join("|"),
  "g",
);

function tokens(expression: string): Token[] {
  const found: Token[] = [];
  for (const match of expression.matchAll(TOKEN)) {
    const text = match[0];
    if (text.trim() === "" || text.startsWith("//")) continue;
    found.push({ text, at: match.index });
  }
  return found;
}

/** Where the arguments of a call begin, and where its parenthesis closes, counted in tokens. */
function callArguments(all: readonly Token[], open: number): number[] | undefined {
  const starts = [open + 1];
  let depth = 0;
  for (let index = open; index < all.length; index++) {
    const { text } = all[index]!;
    if (text === "(" || text === "[" || text === "{") depth++;
    else if (text === ")" || text === "]" || text === "}") depth--;
    else if (text === "," && depth === 1) starts.push(index + 1);
    if (depth === 0) return [...starts, index];
  }
  return undefined;
}

interface Insertion {
  readonly at: number;
  readonly text: string;
  /** Where the text that it replaces ends; absent: it replaces nothing. */
  readonly until?: number;
}

function insertionsOf(all: readonly Token[], index: number): Insertion[] {
  const name = all[index + 1]?.text ?? "";
  if (all[index]!.text !== "." || all[index + 2]?.text !== "(") return [];
  if (name === "isHostname" && all[index + 3]?.text === ")") {
    return [{ at: all[index]!.at, text: `.matches("${HOSTNAME}")`, until: all[index + 3]!.at + 1 }];
  }
  if (name === "unique") return [{ at: all[index]!.at, text: `.filter(turn_, ${UNIQUE_CALL})` }];
  if (name === "contains") return containsInsertions(all, index + 3);
  if (!MACROS.has(name)) return [];
  const bounds = callArguments(all, index + 2);
  if (bounds === undefined || bounds.length < 3) return [];
  const second = all[bounds[1]!]!.at;
  if (name === "map" && bounds.length === 3) return [{ at: second, text: `${TURN_CALL}, ` }];
  // The end of the second argument is a comma or the closing parenthesis.
  const after = bounds.length === 3 ? all[bounds[2]!]! : all[bounds[2]! - 1]!;
  return [{ at: second, text: `${TURN_CALL} && (` }, { at: after.at, text: ")" }];
}

/** Charges a `contains` before its needle is read; `at` is the token where that begins. */
function containsInsertions(all: readonly Token[], at: number): Insertion[] {
  const end = callArguments(all, at - 1)?.at(-1);
  if (end === undefined || end === at) return [];
  const is_literal = end === at + 1 && /^[bBrR]{0,2}["']/.test(all[at]!.text);
  const length = is_literal ? all[at]!.text.length : "";
  const call = `"".matches("${CONTAINS}${length})") ? (`;
  return [{ at: all[at]!.at, text: call }, { at: all[end]!.at, text: ') : ""' }];
}

/**
 * The expression with each turn of its macros and each `contains` counted, and with names of hosts checked
 * here. It stays as it is when it has neither.
 */
export function countTurns(expression: string): string {
  const all = tokens(expression);
  const insertions = all.flatMap((_, index) => insertionsOf(all, index))
    .sort((left, right) => left.at - right.at);
  let counted = "";
  let from = 0;
  for (const { at, text, until = at } of insertions) {
    counted += expression.slice(from, at) + text;
    from = until;
  }
  return counted + expression.slice(from);
}

// Host names have at most 253 characters, *excluding* an optional final dot. The library counts that dot, so rules
// about hosts are replaced by patterns: `matches` is its only function that can be replaced.

/** The pattern that stands for `isHostname` in expressions; no text matches it. */
const HOSTNAME = "(?#hostname)";
/** The pattern for host and port, for hosts that the library considers too long. */
const LONG_HOST_AND_PORT = "(?#long-host-and-port)";

const NAME_CHARS = 253;
const LABEL = /^(?!-)[A-Za-z0-9-]{1,63}(?<!-)$/;
const DIGITS = /^[0-9]+$/;
const PORT = /^(?:0|[1-9][0-9]{0,4})$/;

function isHostname(text: string): boolean {
  const name = text.endsWith(".") ? text.slice(0, -1) : text;
  if (name.length > NAME_CHARS) return false;
  const labels = name.split(".");
  return labels.every((label) => LABEL.test(label)) && !DIGITS.test(labels.at(-1) ?? "");
}

function isHostAndPort(text: string): boolean {
  const at = text.lastIndexOf(":");
  const port = text.slice(at + 1);
  return at >= 0 && PORT.test(port) && Number(port) <= 65_535 && isHostname(text.slice(0, at));
}

/** Whether a text matches one of the patterns above; undefined for any other pattern. */
function matchesHost(pattern: string, text: string): boolean | undefined {
  if (pattern === HOSTNAME) return isHostname(text);
  return pattern === LONG_HOST_AND_PORT ? isHostAndPort(text) : undefined;
}

interface HostRule {
  readonly id: string;
  readonly what: string;
  readonly expression: string;
}

/** The standard rules about hosts, as expressions. */
const HOST_RULES: Readonly<Record<string, HostRule>> = {
  hostname: { id: "string.hostname", what: "hostname", expression: `this.matches("${HOSTNAME}")` },
  address: {
    id: "string.address",
    what: "hostname, or ip address",
    expression: `this.matches("${HOSTNAME}") || this.isIp()`,
  },
  hostAndPort: {
    id: "string.host_and_port",
    what: "host (hostname or IP address) and port pair",
    expression: `this.isHostAndPort(true) || this.matches("${LONG_HOST_AND_PORT}")`,
  },
};

function hostRuleOf({ type }: FieldRules): HostRule | undefined {
  if (type.case !== "string") return undefined;
  const { wellKnown }: StringRules = type.value;
  return wellKnown.value === true ? HOST_RULES[wellKnown.case ?? ""] : undefined;
}

/** Whether the rules include one about hosts. */
export function hasHostRule(rules: FieldRules): boolean {
  return hostRuleOf(rules) !== undefined;
}

/** Replaces the standard rules about hosts by expressions with the same ids and texts. */
export function replaceHostRule(rules: FieldRules): void {
  const rule = hostRuleOf(rules);
  if (rule === undefined || rules.type.case !== "string") return;
  rules.type.value.wellKnown = { case: undefined };
  const { id, what, expression } = rule;
  const empty = what.startsWith("host (") ? "host and port pair" : what;
  rules.cel.push(
    create(RuleSchema, {
      id,
      message: `must be a valid ${what}`,
      expression: `this == "" || ${expression}`,
    }),
    create(RuleSchema, {
      id: `${id}_empty`,
      message: `value is empty, which is not a valid ${empty}`,
      expression: 'this != ""',
    }),
  );
}
