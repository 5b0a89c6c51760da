/** The names, functions and claims of a parsed filter, and its estimated steps. Runs nothing. */
import { parse } from "@bufbuild/cel";

/** A node of a parsed expression. */
export type Expr = NonNullable<ReturnType<typeof parse>["expr"]>;
type Call = Extract<Expr["exprKind"], { case: "callExpr" }>["value"];
type Select = Extract<Expr["exprKind"], { case: "selectExpr" }>["value"];
type Comprehension = Extract<Expr["exprKind"], { case: "comprehensionExpr" }>["value"];

/** The function that counts an iteration. No CEL text can name it. */
export const TURN = "@turn";
/** The function that bounds the items of a loop. */
export const RANGE = "@range";
/** The most names in a row: the planner looks each of them up once for each in front of it. */
const NAMES_MAX = 64;
/** The iterations of a loop that the estimate assumes. */
const TURNS_EXPECTED = 8;

/** The result of an inspection. */
export interface Inspection {
  readonly problem: string | undefined;
  readonly nodes: number;
  /** The steps on a small message, with eight iterations of each loop. */
  readonly cost: number;
  /** How often loops use their own names. */
  readonly inner: number;
  /** The claims that are read, sorted; "*" if all are. */
  readonly claims: readonly string[];
  readonly patterns: readonly string[];
}

/** The names of types, which an expression may compare with `type(…)`. */
const TYPES = ["bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type"];
/** First characters of operators, which the planner has besides the functions. */
const OPERATOR = /^[_!@-]/;
/** Hides the claims in a scope whose loop variable has their name. */
const CLAIMS = "claims";

/** Inspects an expression that may use these names, and the functions in `knows`. */
export function inspect(
  expr: Expr,
  names: readonly string[],
  knows: (name: string) => boolean,
): Inspection {
  const inspector = new Inspector(names, knows);
  inspector.look(expr, new Set([...names, ...TYPES]), 1);
  const { problem, nodes, cost, inner } = inspector;
  const claims = inspector.claims.has("*") ? ["*"] : [...inspector.claims].sort();
  return { problem, nodes, cost, inner, claims, patterns: [...inspector.patterns] };
}

class Inspector {
  problem: string | undefined;
  nodes = 0;
  cost = 0;
  inner = 0;
  readonly claims = new Set<string>();
  readonly patterns = new Set<string>();
  readonly #names: readonly string[];
  readonly #knows: (name: string) => boolean;

  constructor(names: readonly string[], knows: (name: string) => boolean) {
    this.#names = names;
    this.#knows = knows;
  }

  /**
   * Inspects a node in a scope with these names, which runs this many times, with this many names directly after it.
   */
  look(expr: Expr | undefined, known: ReadonlySet<string>, times: number, behind = 0): void {
    if (expr === undefined) return;
    this.nodes++;
    this.cost += times;
    const { exprKind } = expr;
    const names = exprKind.case === "selectExpr" ? behind + 1 : 0;
    if (names > NAMES_MAX) this.problem ??= `more than ${NAMES_MAX} names in a row`;
    if (exprKind.case === "identExpr") this.#name(exprKind.value.name, known);
    if (exprKind.case === "callExpr") this.#call(exprKind.value);
    if (exprKind.case === "comprehensionExpr") this.#loop(exprKind.value, known, times);
    else if (exprKind.case !== "selectExpr" || !this.#claim(exprKind.value, known)) {
      for (const child of childrenOf(expr)) this.look(child, known, times, names);
    }
  }

  #name(name: string, known: ReadonlySet<string>): void {
    // A leading dot names the same from the root.
    const plain = name.replace(/^\./, "");
    if (plain === CLAIMS) this.claims.add("*");
    if (known.has(plain)) return void (this.inner += this.#names.includes(plain) ? 0 : 1);
    const usable = this.#names.join(", ");
    this.problem ??= `unknown name ${JSON.stringify(name)}; a filter may use ${usable}`;
  }

  #call({ function: name, args }: Call): void {
    if (name === "matches") this.#pattern(args.at(-1));
    if (OPERATOR.test(name) || this.#knows(name)) return;
    this.problem ??= `unknown function ${JSON.stringify(name)}`;
  }

  /** A pattern is compiled once, before any message: it cannot depend on a message. */
  #pattern(expr: Expr | undefined): void {
    const kind = expr?.exprKind;
    if (kind?.case === "constExpr" && kind.value.constantKind.case === "stringValue") {
      this.patterns.add(kind.value.constantKind.value);
    } else this.problem ??= "the pattern of matches() must be a quoted text in the filter";
  }

  /** Records `claims.NAME`; false: the expression is something else. */
  #claim({ operand, field }: Select, known: ReadonlySet<string>): boolean {
    const kind = operand?.exprKind;
    if (kind?.case !== "identExpr" || kind.value.name !== CLAIMS || !known.has(CLAIMS)) {
      return false;
    }
    this.nodes++;
    this.claims.add(field);
    return true;
  }

  #loop(loop: Comprehension, known: ReadonlySet<string>, times: number): void {
    const inner = new Set([...known, loop.iterVar, loop.iterVar2, loop.accuVar]);
    this.look(loop.iterRange, known, times);
    this.look(loop.accuInit, known, times);
    this.look(loop.loopCondition, inner, times * TURNS_EXPECTED);
    this.look(loop.loopStep, inner, times * TURNS_EXPECTED);
    this.look(loop.result, inner, times);
  }
}

/** The child nodes of a node, except a loop's. */
function childrenOf({ exprKind }: Expr): readonly (Expr | undefined)[] {
  switch (exprKind.case) {
    case "selectExpr":
      return [exprKind.value.operand];
    case "callExpr":
      return [exprKind.value.target, ...exprKind.value.args];
    case "listExpr":
      return exprKind.value.elements;
    case "structExpr":
      return exprKind.value.entries.flatMap(({ keyKind, value }) =>
        keyKind.case === "mapKey" ? [keyKind.value, value] : [value]
      );
    default:
      return [];
  }
}

/** Makes each loop call `RANGE` with its items, and `TURN` before each iteration, in place. */
export function countTurns(expr: Expr | undefined): void {
  if (expr === undefined) return;
  if (expr.exprKind.case !== "comprehensionExpr") return childrenOf(expr).forEach(countTurns);
  const loop = expr.exprKind.value;
  for (const part of [loop.iterRange, loop.accuInit, loop.loopStep, loop.result]) countTurns(part);
  const bounded = parse("range(0)").expr;
  if (bounded?.exprKind.case === "callExpr" && loop.iterRange !== undefined) {
    bounded.exprKind.value.function = RANGE;
    bounded.exprKind.value.args[0] = loop.iterRange;
    loop.iterRange = bounded;
  }
  const counted = parse("turn() && true").expr;
  if (counted?.exprKind.case !== "callExpr" || loop.loopCondition === undefined) return;
  const { args } = counted.exprKind.value;
  if (args[0]?.exprKind.case === "callExpr") args[0].exprKind.value.function = TURN;
  args[1] = loop.loopCondition;
  loop.loopCondition = counted;
}
