/**
 * Renders the definition of the configuration as `docs/config.schema.json` and the tables of
 * `docs/configuration.md`. Pure text functions; `gen.ts` writes the files.
 */
import { configJsonSchema, expectation, grouped } from "../../shared/config/json_schema.ts";
import { constants } from "../../shared/config/keys/constants.ts";
import type { JsonSchema } from "../../shared/config/json_schema.ts";
import { jsonText, table as markdownTable, tableRow } from "./gen_pages.ts";

const NOTICE = "Generated from shared/config/schema.ts by `deno task gen`. Do not edit.";

/** The text of `docs/config.schema.json`. */
export function renderConfigSchema(): string {
  return `${jsonText({ $comment: NOTICE, ...configJsonSchema() }, 600)}\n`;
}

function defaultCell(node: JsonSchema, is_required: boolean): string {
  if (is_required) return "required";
  if (node.default === undefined) return "–";
  const value = typeof node.default === "number"
    ? grouped(node.default)
    : JSON.stringify(node.default);
  return `\`${value}\``;
}

/** The node whose keys the section of a node lists; undefined for a node without a section. */
function tableOf(node: JsonSchema): JsonSchema | undefined {
  if (node.type === "object") return node;
  return node.items?.type === "object" ? node.items : undefined;
}

/** One section for each table and array of tables, in the order of the schema. */
function sections(node: JsonSchema, path: readonly string[]): string[] {
  const table = tableOf(node);
  if (table === undefined) return [];
  const children = Object.entries(table.properties ?? {});
  const keys = children.filter(([, child]) => tableOf(child) === undefined);
  const name = path.join(".");
  const header = node.type === "array" ? `[[${name}]]` : `[${name}]`;
  const lines: string[] = [];
  if (keys.length > 0) {
    const about = node.description ?? "";
    lines.push(`### \`${header}\``, "");
    if (about !== "") lines.push(`${about.charAt(0).toUpperCase()}${about.slice(1)}.`, "");
    const rows = keys.map(([key, child]) =>
      tableRow(
        `\`${key}\``,
        expectation(child).replace(" in quotes", ""),
        defaultCell(child, table.required?.includes(key) ?? false),
        child["x-live"] === true ? "yes" : "",
        child.description ?? "",
      )
    );
    lines.push(markdownTable(["key", "value", "default", "live", "meaning"], rows), "");
  }
  return [...lines, ...children.flatMap(([key, child]) => sections(child, [...path, key]))];
}

/** The tables of `docs/configuration.md`: every key, and the constants whose names look like keys. */
export function configParts(): Record<"keys" | "constants", string> {
  const rows = constants().map(([name, { value, why }]) => {
    const shown = typeof value === "number" ? grouped(value) : JSON.stringify(value);
    return tableRow(`\`${name}\``, `\`${shown}\``, why);
  });
  return {
    keys: sections({ ...configJsonSchema(), type: "object" }, []).join("\n"),
    constants: markdownTable(["constant", "value", "what it bounds, and why so"], rows),
  };
}
