/**
 * Shapes of JSON values: the keywords of JSON Schema (2020-12) that can be checked in time that grows with the value
 * alone, and for which every language has a type. Other keywords are refused. Pure; `judge.ts` validates values.
 */

export type Kind = "object" | "array" | "string" | "integer" | "number" | "boolean" | "null";
/** The kinds of a list's values. */
export type Scalar = string | number | boolean | null;

/** A schema that `checkShape` has passed. */
export interface Shape {
  readonly $ref?: string;
  /** One kind, or one or null. */
  readonly type?: Kind | readonly Kind[];
  readonly enum?: readonly Scalar[];
  readonly const?: Scalar;
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Shape;
  readonly maxProperties?: number;
  readonly items?: Shape;
  readonly minItems?: number;
  readonly maxItems?: number;
  /** Characters, as Unicode counts them. */
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly description?: string;
}

/** A schema is not valid for a room. The message begins with the path. */
export class SchemaError extends Error {
  override readonly name = "SchemaError";
}

const KINDS: readonly string[] = [
  ...["object", "array", "string", "integer", "number", "boolean", "null"] satisfies Kind[],
];
/** Keywords for people. */
const NOTES = ["title", "description", "$comment", "default", "examples", "deprecated"];
/** The keywords by kind; others apply to any kind. */
const WORDS: Readonly<Record<string, readonly Kind[]>> = {
  properties: ["object"],
  required: ["object"],
  additionalProperties: ["object"],
  maxProperties: ["object"],
  items: ["array"],
  minItems: ["array"],
  maxItems: ["array"],
  minLength: ["string"],
  maxLength: ["string"],
  minimum: ["integer", "number"],
  maximum: ["integer", "number"],
  exclusiveMinimum: ["integer", "number"],
  exclusiveMaximum: ["integer", "number"],
};
const COUNTS = ["maxProperties", "minItems", "maxItems", "minLength", "maxLength"];
const LIMITS = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];
const REF = /^#\/\$defs\/([A-Za-z_][A-Za-z0-9_]*)$/;
const DEPTH_MAX = 32;

/** Whether a value is a JSON object. */
export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A name or value for people: short, on one line. */
export function shownText(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 66 ? `${[...text].slice(0, 64).join("")}…` : text;
}

function refuse(at: string, what: string): never {
  throw new SchemaError(`${at}: ${what}`);
}

/** The kinds that a shape names; empty: it names none. */
export const kindsOf = ({ type = [] }: Shape): readonly Kind[] =>
  typeof type === "string" ? [type] : type;

/** The name in `$defs` to which a shape refers; undefined: it is no reference. */
export const refOf = ({ $ref }: Shape): string | undefined => $ref && REF.exec($ref)?.[1];

/** Where references end, by the definitions and a name in them: each value of a long list may ask. */
const ends = new WeakMap<object, Map<string, Shape>>();

/** The shape, or the definition to which it refers. */
export function resolved(shape: Shape, definitions: Readonly<Record<string, Shape>>): Shape {
  const first = refOf(shape);
  if (first === undefined) return shape;
  const known = ends.get(definitions) ?? new Map<string, Shape>();
  ends.set(definitions, known);
  const passed: string[] = [];
  let end: Shape | undefined;
  for (let name: string | undefined = first; name !== undefined; name = refOf(end)) {
    passed.push(name);
    end = known.get(name) ?? definitions[name]!;
  }
  for (const name of passed) known.set(name, end!);
  return end!;
}

function checkType(type: unknown, at: string): void {
  const some: readonly unknown[] = Array.isArray(type) ? type : [type];
  const unknown = some.find((one) => typeof one !== "string" || !KINDS.includes(one));
  if (unknown !== undefined || some.length === 0) {
    refuse(at, `expected one of ${KINDS.join(", ")}, found ${shownText(unknown ?? type)}`);
  }
  if (some.length === 1 || some.length === 2 && new Set(some).size === 2 && some.includes("null")) {
    return;
  }
  refuse(at, `expected one type, or one and "null", found ${shownText(type)}`);
}

/** The values that a shape lists; undefined: none. */
export function listedBy(shape: Shape): readonly Scalar[] | undefined {
  const only = Object.hasOwn(shape, "const") ? [shape.const!] : undefined;
  return only === undefined ? shape.enum : only.filter((one) => shape.enum?.includes(one) ?? true);
}

const sets = new WeakMap<Shape, ReadonlySet<unknown>>();

/** Whether the list of a shape, if it has one, has the value. */
export function isListed(shape: Shape, value: unknown): boolean {
  let set = sets.get(shape);
  if (set === undefined) {
    const listed = listedBy(shape);
    if (listed === undefined) return true;
    sets.set(shape, set = new Set(listed));
  }
  return set.has(value);
}

/** Whether a value of this shape is always, never or sometimes a text; the shape is no reference. */
export function textOf(shape: Shape): "always" | "never" | "sometimes" {
  const kinds = kindsOf(shape);
  const listed = listedBy(shape);
  const all = kinds.length > 0 ? kinds : listed?.map((one) => typeof one) ?? [];
  const texts = all.filter((kind) => kind === "string").length;
  return texts === 0 ? "never" : texts === all.length ? "always" : "sometimes";
}

const isScalar = (value: unknown): value is Scalar =>
  value === null || ["string", "boolean"].includes(typeof value) || Number.isFinite(value);

function checkScalars(value: unknown, at: string): void {
  const some = at.endsWith(".enum") ? value : [value];
  if (Array.isArray(some) && some.length > 0 && some.every(isScalar)) return;
  refuse(at, "expected texts, numbers, true, false or null");
}

function checkCount(value: unknown, at: string): void {
  if (Number.isSafeInteger(value) && Number(value) >= 0) return;
  refuse(at, `expected a whole number of at least 0, found ${shownText(value)}`);
}

function checkRequired(value: unknown, { properties }: Shape, at: string): void {
  if (!Array.isArray(value)) refuse(at, `expected names, found ${shownText(value)}`);
  for (const name of value) {
    if (typeof name === "string" && properties !== undefined && Object.hasOwn(properties, name)) {
      continue;
    }
    refuse(at, `${shownText(name)} is none of properties`);
  }
}

/** Checks one keyword. Returns the schemas in it with their paths. */
function checkWord(word: string, value: unknown, shape: Shape, at: string): [string, unknown][] {
  if (word === "type") checkType(value, at);
  else if (word === "enum" || word === "const") checkScalars(value, at);
  else if (word === "required") checkRequired(value, shape, at);
  else if (COUNTS.includes(word)) checkCount(value, at);
  else if (LIMITS.includes(word)) {
    if (!Number.isFinite(value)) refuse(at, `expected a number, found ${shownText(value)}`);
  } else if (word === "properties") {
    if (!isObject(value)) refuse(at, `expected an object, found ${shownText(value)}`);
    return Object.entries(value).map(([name, one]) => [`${at}.${name}`, one]);
  } else if (word === "items" || word === "additionalProperties" && typeof value !== "boolean") {
    return [[at, value]];
  } else if (word === "description" && typeof value !== "string") {
    refuse(at, `expected a text, found ${shownText(value)}`);
  }
  return [];
}

function checkWords(shape: Shape, at: string): void {
  const kinds = kindsOf(shape);
  for (const word of Object.keys(shape)) {
    const kinds_of = Object.hasOwn(WORDS, word) ? WORDS[word]! : undefined;
    if (kinds_of === undefined || kinds_of.some((kind) => kinds.includes(kind))) continue;
    refuse(`${at}.${word}`, `it says something of type ${kinds_of.join(" or ")} only`);
  }
  if (kinds.length + Object.keys(shape).length === 0) refuse(at, "it says nothing; expected type");
  const says = ["type", "enum", "const", "$ref"].some((word) => Object.hasOwn(shape, word));
  if (!says) refuse(at, "expected type, enum, const or $ref");
}

function checkReference(shape: Readonly<Record<string, unknown>>, at: string): string {
  const { $ref } = shape;
  const name = typeof $ref === "string" ? REF.exec($ref)?.[1] : undefined;
  if (name === undefined) {
    refuse(`${at}.$ref`, `expected "#/$defs/NAME", found ${shownText($ref)}`);
  }
  const beside = Object.keys(shape).find((word) => word !== "$ref" && !NOTES.includes(word));
  if (beside !== undefined) refuse(`${at}.${beside}`, "it stands beside $ref, which says it all");
  return name;
}

/**
 * Checks that a value is a schema of the keywords above. Returns the names of `$defs` that it uses.
 * @throws {SchemaError} what is wrong, with where.
 */
export function checkShape(value: unknown, at: string, depth = 0): string[] {
  if (!isObject(value)) refuse(at, `expected a schema, an object; found ${shownText(value)}`);
  if (depth > DEPTH_MAX) refuse(at, `schemas are nested deeper than ${DEPTH_MAX}`);
  if (Object.hasOwn(value, "$ref")) return [checkReference(value, at)];
  const shape = value as Shape;
  const used: string[] = [];
  for (const [word, given] of Object.entries(value)) {
    const known = Object.hasOwn(WORDS, word) || ["type", "enum", "const", ...NOTES].includes(word);
    if (!known) {
      const words = ["type", "enum", "const", "$ref", ...Object.keys(WORDS)].join(", ");
      refuse(`${at}.${shownText(word).slice(1, -1)}`, `a bus judges only ${words}`);
    }
    for (const [where, one] of checkWord(word, given, shape, `${at}.${word}`)) {
      used.push(...checkShape(one, where, depth + 1));
    }
  }
  checkWords(shape, at);
  return used;
}
