/**
 * The configuration as JSON Schema (draft 2020-12), and what a node of it expects
 * in words. `docs/config.schema.json`, docs/configuration.md and error messages come from here.
 */
import { z } from "zod";
import { isLiveKey } from "./keys/live_keys.ts";
import { ConfigSchema } from "./schema.ts";
import type { TomlPath } from "./toml.ts";

/** The part of JSON Schema that the configuration uses. */
export interface JsonSchema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly minItems?: number;
  readonly pattern?: string;
  readonly format?: string;
  /** A running process applies a changed value. On keys, not on tables of keys. */
  readonly "x-live"?: true;
}

/** The node with `x-live` on each live key below it; members of a live list or table are live, too. */
function withLive(node: JsonSchema, path: string): JsonSchema {
  const is_live = isLiveKey(path);
  const { properties, items } = node;
  const below = (name: string) => is_live ? path : path === "" ? name : `${path}.${name}`;
  if (properties !== undefined) {
    const keys = Object.entries(properties).map(([name, child]) =>
      [name, withLive(child, below(name))] as const
    );
    return { ...node, properties: Object.fromEntries(keys) };
  }
  if (items?.properties !== undefined) return { ...node, items: withLive(items, path) };
  return is_live ? { ...node, "x-live": true } : node;
}

/** The schema of the whole file, with `$schema` and a title. */
export function configJsonSchema(): JsonSchema {
  const schema = z.toJSONSchema(ConfigSchema, { io: "input" });
  const whole = { ...schema, title: "ArqonBus config.toml" } as JsonSchema;
  return withLive(whole, "");
}

/** The node at a path; undefined if the schema has none. */
export function schemaAt(root: JsonSchema, path: TomlPath): JsonSchema | undefined {
  let node: JsonSchema | undefined = root;
  for (const step of path) {
    if (typeof step === "number") node = node?.items;
    else {
      const properties: Readonly<Record<string, JsonSchema>> = node?.properties ?? {};
      node = Object.hasOwn(properties, step) ? properties[step] : undefined;
    }
  }
  return node;
}

/** Formats 65535 as 65_535, which TOML accepts; numbers of four digits stay as they are. */
export function grouped(value: number): string {
  if (Math.abs(value) < 10_000) return String(value);
  return value.toLocaleString("en-US", { maximumFractionDigits: 6 }).replaceAll(",", "_");
}

function plural(node: JsonSchema | undefined): string {
  if (node?.type === "object") return "tables";
  if (node?.enum !== undefined) return node.enum.map((item) => JSON.stringify(item)).join(", ");
  return `${node?.type ?? "value"}s`;
}

/** What a value must be, in words: "an integer from 0 to 65_535". */
export function expectation(node: JsonSchema): string {
  if (node.const !== undefined) return JSON.stringify(node.const);
  if (node.enum !== undefined) {
    return `one of ${node.enum.map((item) => JSON.stringify(item)).join(", ")}`;
  }
  if (node.anyOf !== undefined) return node.anyOf.map(expectation).join(" or ");
  const range = node.minimum === undefined || node.maximum === undefined
    ? ""
    : ` from ${grouped(node.minimum)} to ${grouped(node.maximum)}`;
  switch (node.type) {
    case "integer":
      return `an integer${range}`;
    case "number":
      return `a number${range}`;
    case "boolean":
      return "true or false";
    case "string":
      if (node.format === "uri") return "a URL in quotes";
      if ((node.minLength ?? 0) > 1) {
        return `a string of at least ${node.minLength} characters in quotes`;
      }
      return node.minLength === 1 ? "a non-empty string in quotes" : "a string in quotes";
    case "array":
      return `${(node.minItems ?? 0) > 0 ? "a non-empty array" : "an array"} of ${
        plural(node.items)
      }`;
    default:
      return "a table";
  }
}
