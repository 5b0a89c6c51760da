/**
 * Validates the data of a command against the schema of its room, before a module runs. The time grows with the bytes
 * of the command, for any schema. Pure.
 */
import type { RoomSchema } from "./room_schema.ts";
import {
  isListed,
  isObject,
  type Kind,
  kindsOf,
  listedBy,
  resolved,
  type Shape,
  shownText,
  textOf,
} from "./shape.ts";

/** The outcome of a command: the module's input, or why it is refused. */
export type Judged =
  | { readonly data: Uint8Array }
  | { readonly code: 400 | 404; readonly reason: string };

type Definitions = Readonly<Record<string, Shape>>;

const DEPTH_MAX = 64;
const REASON_UNITS = 400;
const NAMES_SHOWN = 8;
const TOO_LARGE = "the number is too large";

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

function kindOf(value: unknown): Kind {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  const kind = typeof value;
  if (kind === "number") return Number.isSafeInteger(value) ? "integer" : "number";
  return kind as "object" | "string" | "boolean";
}

const CALLED: Readonly<Record<Kind, string>> = {
  object: "an object",
  array: "a list",
  string: "a text",
  number: "a number",
  integer: "a whole number",
  boolean: "true or false",
  null: "null",
};

/** A description of the value for its sender, without the content of a text. */
function found(value: unknown): string {
  const kind = kindOf(value);
  return kind === "integer" || kind === "number" ? String(value) : CALLED[kind];
}

function expectedKinds(kinds: readonly Kind[]): string {
  return kinds.map((kind) => CALLED[kind]).join(" or ");
}

function numberProblem(shape: Shape, value: number): string | undefined {
  const { minimum, maximum, exclusiveMinimum: above, exclusiveMaximum: below } = shape;
  if (minimum !== undefined && value < minimum) return `at least ${minimum}`;
  if (maximum !== undefined && value > maximum) return `at most ${maximum}`;
  if (above !== undefined && value <= above) return `more than ${above}`;
  if (below !== undefined && value >= below) return `less than ${below}`;
  return undefined;
}

/** The number of a text's characters, counted only as far as needed. */
function lengthOf(text: string): number {
  let length = 0;
  for (const _ of text) length++;
  return length;
}

function textProblem({ minLength = 0, maxLength = Infinity }: Shape, text: string) {
  if (minLength === 0 && text.length <= maxLength) return undefined;
  const length = lengthOf(text);
  if (length >= minLength && length <= maxLength) return undefined;
  const bound = length < minLength ? `at least ${minLength}` : `at most ${maxLength}`;
  return `${bound} characters, found ${length}`;
}

/** The step to a member in a path, as JavaScript would write it. */
const stepTo = (name: string) =>
  /^[A-Za-z_]\w{0,63}$/.test(name) ? `.${name}` : `[${shownText(name)}]`;

const TOO_DEEP = `: nested deeper than ${DEPTH_MAX}`;

class Judge {
  readonly #definitions: Definitions;

  constructor(definitions: Definitions) {
    this.#definitions = definitions;
  }

  /** The path in the value and its fault; undefined: none. Only a fault has its path written. */
  problem(given: Shape, value: unknown, depth = 0): string | undefined {
    if (depth > DEPTH_MAX) return TOO_DEEP;
    const shape = resolved(given, this.#definitions);
    const own = kindOf(value);
    const kinds = kindsOf(shape);
    const fits = kinds.length === 0 || kinds.includes(own) ||
      own === "integer" && kinds.includes("number");
    if (!fits) return `: expected ${expectedKinds(kinds)}, found ${found(value)}`;
    if (!isListed(shape, value)) {
      const listed = listedBy(shape)!;
      const some = listed.slice(0, NAMES_SHOWN).map(shownText).join(", ");
      return `: expected ${listed.length === 1 ? "" : "one of "}${some}`;
    }
    if (typeof value === "number") {
      if (!Number.isFinite(value)) return `: ${TOO_LARGE}`;
      const wanted = numberProblem(shape, value);
      return wanted && `: expected ${wanted}, found ${value}`;
    }
    if (typeof value === "string") {
      const wanted = textProblem(shape, value);
      return wanted && `: expected ${wanted}`;
    }
    if (Array.isArray(value)) return this.#listProblem(shape, value, depth);
    return isObject(value) ? this.#memberProblem(shape, value, depth) : undefined;
  }

  #listProblem(shape: Shape, value: readonly unknown[], depth: number) {
    const { minItems = 0, maxItems = Infinity, items } = shape;
    if (value.length < minItems || value.length > maxItems) {
      const bound = value.length < minItems ? `at least ${minItems}` : `at most ${maxItems}`;
      return `: expected ${bound} items, found ${value.length}`;
    }
    if (items === undefined) return freeProblem(value, depth);
    for (const [index, item] of value.entries()) {
      const problem = this.problem(items, item, depth + 1);
      if (problem !== undefined) return `[${index}]${problem}`;
    }
    return undefined;
  }

  #memberProblem(
    shape: Shape,
    value: Readonly<Record<string, unknown>>,
    depth: number,
  ): string | undefined {
    const { properties = {}, required = [], additionalProperties: others = true } = shape;
    const missing = required.find((name) => !Object.hasOwn(value, name));
    if (missing !== undefined) return `${stepTo(missing)}: it is missing`;
    const names = Object.keys(value);
    const { maxProperties: most = Infinity } = shape;
    if (names.length > most) return `: expected at most ${most} members, found ${names.length}`;
    for (const name of names) {
      const own = Object.hasOwn(properties, name) ? properties[name]! : others;
      if (own === false) {
        return `${stepTo(name)}: there is no such member${knownOf(properties)}`;
      }
      const problem = own === true
        ? freeProblem(value[name], depth + 1)
        : this.problem(own, value[name], depth + 1);
      if (problem !== undefined) return `${stepTo(name)}${problem}`;
    }
    return undefined;
  }
}

/** The fault of a value without a schema, which must still be writable as JSON. */
function freeProblem(value: unknown, depth: number): string | undefined {
  if (value === Infinity || value === -Infinity) return `: ${TOO_LARGE}`;
  if (typeof value !== "object" || value === null) return undefined;
  if (depth > DEPTH_MAX) return TOO_DEEP;
  for (const one of Object.values(value)) {
    const problem = freeProblem(one, depth + 1);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function knownOf(properties: Readonly<Record<string, Shape>>): string {
  const names = Object.keys(properties);
  const some = names.slice(0, NAMES_SHOWN).map(shownText).join(", ");
  return names.length === 0 ? "" : `; expected ${some}${names.length > NAMES_SHOWN ? ", …" : ""}`;
}

const refusal = (code: 400 | 404, reason: string): Judged => ({
  code,
  reason: reason.length > REASON_UNITS
    ? `${reason.slice(0, REASON_UNITS).toWellFormed()}…`
    : reason,
});

/** Whether the value is a text, which commands carry as it is and not as JSON. */
const isText = (shape: Shape) => textOf(shape) === "always";

/** The fault of a value by one of the schema's shapes, and its path; undefined: none. */
export function valueProblem(
  { $defs = {} }: RoomSchema,
  shape: Shape,
  value: unknown,
  at: string,
): string | undefined {
  const problem = new Judge($defs).problem(shape, value);
  return problem && `${at}${problem}`;
}

/**
 * Validates a user's command. Returns data that is no text as JSON with each member once, without spaces, and with
 * integers in digits, so that a module reads exactly what was validated.
 */
export function judge(schema: RoomSchema, command: string, data: Uint8Array): Judged {
  const { commands, $defs = {} } = schema;
  if (!Object.hasOwn(commands, command)) {
    const names = Object.keys(commands);
    const some = names.slice(0, NAMES_SHOWN).join(", ") || "none";
    const more = names.length > NAMES_SHOWN ? ", …" : "";
    return refusal(404, `no command ${shownText(command)}; expected one of: ${some}${more}`);
  }
  const given = commands[command]?.data;
  if (given === undefined) {
    return data.length === 0 ? { data } : refusal(400, "data: expected none");
  }
  const shape = resolved(given, $defs);
  let value: unknown;
  try {
    const text = strict.decode(data);
    value = isText(shape) ? text : text === "" ? undefined : JSON.parse(text);
  } catch {
    return refusal(400, `data: expected ${expectedKinds(kindsOf(shape)) || "a value"} as JSON`);
  }
  if (value === undefined) {
    return refusal(400, `data: expected ${expectedKinds(kindsOf(shape)) || "a value"}, found none`);
  }
  const problem = valueProblem(schema, shape, value, "data");
  if (problem !== undefined) return refusal(400, problem);
  return isText(shape) ? { data } : { data: encoder.encode(JSON.stringify(value)) };
}
