/**
 * Turns zod's findings into problems that a person can act on: place, key, what is wrong and what would be right. Pure;
 * `load.ts` throws them.
 */
import type { z } from "zod";
import { configJsonSchema, expectation, grouped, schemaAt } from "./json_schema.ts";
import type { JsonSchema } from "./json_schema.ts";
import { constantAt } from "./keys/constants.ts";
import { nearest } from "./suggest.ts";
import type { TomlDocument, TomlPath, TomlPosition } from "./toml.ts";

/** One thing that is wrong with a configuration. */
export interface ConfigProblem {
  /** The place of the problem; undefined for a configuration that did not come from text. */
  readonly position: TomlPosition | undefined;
  /** The key, for example `auth.issuers[0].issuer`; empty for the file as a whole. */
  readonly key: string;
  /** What is wrong, and what would be right: "wrong; right". */
  readonly text: string;
}

const SHOWN = 60;
const LISTED = 3;

/** A path as a person writes it; names that are not bare keys are quoted. */
function keyText(path: TomlPath): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === "number") return `${text}[${step}]`;
    const name = /^[A-Za-z0-9_-]+$/.test(step) ? step : JSON.stringify(step.slice(0, SHOWN));
    return text === "" ? name : `${text}.${name}`;
  }, "");
}

function valueAt(value: unknown, path: TomlPath): unknown {
  let at = value;
  for (const step of path) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, step)) return undefined;
    at = (at as Record<string | number, unknown>)[step];
  }
  return at;
}

/** A value from code, which may be anything, as text. */
function printed(value: unknown): string {
  try {
    return JSON.stringify(value) ?? typeof value;
  } catch {
    return `this ${typeof value}`;
  }
}

/** A value as written: on one line, shortened, and without a URL's user and password. */
function shown(value: unknown, source: string): string {
  const text = source !== "" ? source : printed(value);
  const safe = text.replace(/\/\/[^\s"']*@/g, "//***@").replace(/[\p{Cc}\p{Cf}\s]+/gu, " ");
  return safe.length > SHOWN ? `${safe.slice(0, SHOWN).toWellFormed()}…` : safe;
}

/** The kind of a value, in TOML's words; in TOML `null` represents a date. */
function kind(value: unknown, is_toml: boolean): string {
  if (value === null) return is_toml ? "a date or time" : "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "number") return Number.isInteger(value) ? "an integer" : "a float";
  if (typeof value === "string" || typeof value === "boolean") return `a ${typeof value}`;
  return "a table";
}

/** A line that sets the key, with a placeholder for its value; undefined: it is a table. */
function lineOf(name: string, { type, enum: values }: JsonSchema): string | undefined {
  const [first] = values ?? [];
  const open: Readonly<Record<string, string>> = {
    string: '"…"',
    array: '["…"]',
    integer: "…",
    number: "…",
    boolean: "true",
  };
  const value = first === undefined ? open[type ?? ""] : JSON.stringify(first);
  return value === undefined ? undefined : `${name} = ${value}`;
}

/** Full keys with this name elsewhere in the schema: people often write a key in the wrong table. */
function elsewhere(node: JsonSchema, name: string, path: TomlPath = []): string[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, child]) => [
    ...(key === name ? [keyText([...path, key])] : []),
    ...elsewhere(child, name, [...path, key]),
  ]);
}

class Explainer {
  readonly #schema: JsonSchema;
  readonly #value: unknown;
  readonly #document: TomlDocument | undefined;

  constructor(value: unknown, document: TomlDocument | undefined, schema: JsonSchema) {
    this.#schema = schema;
    this.#value = value;
    this.#document = document;
  }

  /** The place of a path, or of the nearest table around it. */
  #place(path: TomlPath, part: "key" | "value"): TomlPosition | undefined {
    if (this.#document === undefined) return undefined;
    for (let length = path.length; length > 0; length--) {
      const entry = this.#document.entry(path.slice(0, length));
      if (entry !== undefined) return length === path.length ? entry[part] : entry.key;
    }
    return { line: 1, column: 1 };
  }

  #unknownKey(table: TomlPath, name: string): ConfigProblem {
    const path = [...table, name];
    const known = Object.keys(schemaAt(this.#schema, table)?.properties ?? {});
    const constant = constantAt(path);
    // A folder of a tenant's state has neither the secret nor its file.
    if (constant !== undefined && (constant.value !== "" || known.includes(`${name}_file`))) {
      const { value, why } = constant;
      const is = typeof value === "number" ? grouped(value) : JSON.stringify(value);
      const text = value === ""
        ? `${why}; expected ${name}_file = "PATH"`
        : `it is a constant now, ${is} (${why}); remove the key`;
      return { position: this.#place(path, "key"), key: keyText(path), text };
    }
    const near = nearest(name, known);
    const others = near === undefined ? elsewhere(this.#schema, name).slice(0, LISTED) : [];
    // Shows a top-level table in brackets: its path alone would look like the refused key.
    const meant = near !== undefined
      ? [near]
      : others.map((text) => text === name ? `[${text}]` : text);
    const right = meant.length === 0
      ? `expected one of ${known.join(", ")}; remove the line if it is for a newer ArqonBus`
      : `did you mean ${meant.map((text) => JSON.stringify(text)).join(" or ")}?`;
    return {
      position: this.#place(path, "key"),
      key: keyText(path),
      text: `unknown key; ${right}`,
    };
  }

  #text(issue: z.core.$ZodIssue, path: TomlPath): string {
    const value = valueAt(this.#value, path);
    const node = schemaAt(this.#schema, path);
    const right = issue.message.startsWith("expected")
      ? issue.message
      : `expected ${node === undefined ? "another value" : expectation(node)}`;
    if (value === undefined) {
      const has_line = this.#document === undefined || right.includes("the line ");
      const line = node === undefined || has_line ? undefined : lineOf(String(path.at(-1)), node);
      return `missing; ${right}${line === undefined ? "" : `; add the line ${line}`}`;
    }
    const is_table = typeof value === "object" && value !== null && !Array.isArray(value);
    if (issue.code === "custom" && (is_table || right !== issue.message)) return issue.message;
    const got = shown(value, this.#document?.entry(path)?.source ?? "");
    if (issue.code === "invalid_type" || issue.code === "invalid_union") {
      return is_table
        ? `this is a table; ${right}`
        : `${got} is ${kind(value, this.#document !== undefined)}; ${right}`;
    }
    if (issue.code === "too_big" || issue.code === "too_small") {
      const is_empty = value === "" || (Array.isArray(value) && value.length === 0);
      return `${got} is ${is_empty ? "empty" : "out of range"}; ${right}`;
    }
    const names = (node?.enum ?? []).filter((item) => typeof item === "string");
    const near = typeof value === "string" ? nearest(value, names) : undefined;
    const hint = near === undefined ? "" : ` (did you mean ${JSON.stringify(near)}?)`;
    return `${got} is not allowed; ${right}${hint}`;
  }

  explain(issue: z.core.$ZodIssue): ConfigProblem[] {
    const path = issue.path.map((step) => typeof step === "number" ? step : String(step));
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((name) => this.#unknownKey(path, name));
    }
    const text = this.#text(issue, path);
    return [{ position: this.#place(path, "value"), key: keyText(path), text }];
  }
}

function before(a: ConfigProblem, b: ConfigProblem): number {
  const line = (a.position?.line ?? 0) - (b.position?.line ?? 0);
  return line !== 0 ? line : (a.position?.column ?? 0) - (b.position?.column ?? 0);
}

/** One problem per key, in the order of the file. `schema` describes the whole file; absent: that of `config.toml`. */
export function explain(
  issues: readonly z.core.$ZodIssue[],
  value: unknown,
  document?: TomlDocument,
  schema = configJsonSchema(),
): ConfigProblem[] {
  const explainer = new Explainer(value, document, schema);
  const by_key = new Map<string, ConfigProblem>();
  for (const problem of issues.flatMap((issue) => explainer.explain(issue))) {
    if (!by_key.has(problem.key)) by_key.set(problem.key, problem);
  }
  return [...by_key.values()].sort(before);
}
