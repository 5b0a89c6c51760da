/**
 * What a parsed filter uses: names, functions, claims, and how many steps it may take. Runs nothing.
 */
import { parse } from "@bufbuild/cel";

/** A node of a parsed expression. */
export type Expr = NonNullable<ReturnType<typeof parse>["expr"]>;
type Call = Extract<Expr["exprKind"], { case: "callExpr" }>["value"];
type Select = Extract<Expr["exprKind"], { case: "selectExpr" }>["value"];
type Comprehension = Extract<Expr["exprKind"], { case: "comprehensionExpr" }>["value"];

/** The function that counts a turn of a loop. No text of CEL can name it. */
export const TURN = "@turn";
/** Names in a row: the planner looks each of them up once for each that is in front of it. */
const NAMES_MAX = 64;
/** How many turns a loop is taken to have when its steps are estimated. */
const TURNS_EXPECTED = 8;

/** What was found. */
export interface Inspection {
  /** What is wrong; undefined: nothing. */
  readonly problem: string | undefined;
  readonly nodes: number;
  /** The steps over a small message, with eight turns for each loop. */
  readonly cost: number;
  /** The claims that are read, sorted; "*" when all are. */
  readonly claims: readonly string[];
  /** The patterns that texts are matched with. */
  readonly patterns: readonly string[];
}

/** The names of types, which an expression may compare with `type(…)`. */
const TYPES = ["bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type"];
/** The first characters of operators, which the planner knows beside the functions. */
const OPERATOR = /^[_!@-]/;
/** The name in a scope under which no claim is the token's any longer: a loop's variable hides it. */
const CLAIMS = "claims";

/** Looks through an expression that may use these names, and the functions that `knows` knows. */
export function inspect(
  expr: Expr,
  names: readonly string[],
  knows: (name: string) => boolean,
): Inspection {
  const inspector = new Inspector(names, knows);
  inspector.look(expr, new Set([...names, ...TYPES]), 1);
  const { problem, nodes, cost } = inspector;
  const claims = inspector.claims.has("*") ? ["*"] : [...inspector.claims].sort();
  return { problem, nodes, cost, claims, patterns: [...inspector.patterns] };
}

class Inspector {
  problem: string | undefined;
  nodes = 0;
  cost = 0;
  readonly claims = new Set<string>();
  readonly patterns = new Set<string>();
  readonly #names: readonly string[];
  readonly #knows: (name: string) => boolean;

  constructor(names: readonly string[], knows: (name: string) => boolean) {
    this.#names = names;
    this.#knows = knows;
  }

  /** Looks at a node where these names are known, which runs so many times, with so many names directly behind it. */
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
    if (known.has(plain)) return;
    const usable = this.#names.join(", ");
    this.problem ??= `there is no ${JSON.stringify(name)}; a filter may use ${usable}`;
  }

  #call({ function: name, args }: Call): void {
    if (name === "matches") this.#pattern(args.at(-1));
    if (OPERATOR.test(name) || this.#knows(name)) return;
    this.problem ??= `there is no function ${JSON.stringify(name)}`;
  }

  /** A pattern is compiled once, before any message comes: none is made of what a message has in it. */
  #pattern(expr: Expr | undefined): void {
    const kind = expr?.exprKind;
    if (kind?.case === "constExpr" && kind.value.constantKind.case === "stringValue") {
      this.patterns.add(kind.value.constantKind.value);
    } else this.problem ??= "matches() takes a pattern that is written in the filter, in quotes";
  }

  /** Takes note of `claims.NAME`; false: the expression is nothing of that kind. */
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

/** The parts of a node that are nodes; none of a loop's. */
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

/** Makes each loop of an expression call `TURN` before each turn, in place. */
export function countTurns(expr: Expr | undefined): void {
  if (expr === undefined) return;
  if (expr.exprKind.case !== "comprehensionExpr") return childrenOf(expr).forEach(countTurns);
  const loop = expr.exprKind.value;
  for (const part of [loop.iterRange, loop.accuInit, loop.loopStep, loop.result]) countTurns(part);
  const counted = parse("turn() && true").expr;
  if (counted?.exprKind.case !== "callExpr" || loop.loopCondition === undefined) return;
  const { args } = counted.exprKind.value;
  if (args[0]?.exprKind.case === "callExpr") args[0].exprKind.value.function = TURN;
  args[1] = loop.loopCondition;
  loop.loopCondition = counted;
}
