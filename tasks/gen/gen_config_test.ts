/** The generated configuration page and schema: complete, and their examples are accepted. */
import assert from "node:assert/strict";
import { configJsonSchema } from "../../shared/config/json_schema.ts";
import type { JsonSchema } from "../../shared/config/json_schema.ts";
import { parseConfig } from "../../shared/config/load.ts";
import { renderConfigMarkdown, renderConfigSchema } from "./gen_config.ts";

function keys(node: JsonSchema): string[] {
  const children = Object.entries((node.items ?? node).properties ?? {});
  return children.flatMap(([name, child]) => [name, ...keys(child)]);
}

Deno.test("the page has a row or a section for every key of the schema", () => {
  const page = renderConfigMarkdown();
  for (const key of keys(configJsonSchema())) {
    const found = page.includes(`| \`${key}\` |`) || page.includes(`${key}]`) ||
      page.includes(`[${key}.`);
    assert.ok(found, `${key} is missing`);
  }
});

Deno.test("the page has a section for tables and for arrays of tables", () => {
  const headings = renderConfigMarkdown().split("\n").filter((line) => line.startsWith("### "));
  for (const name of ["[server]", "[[auth.issuers]]", "[platform.overseer]", "[limits]"]) {
    assert.ok(headings.includes(`### \`${name}\``), name);
  }
  assert.equal(new Set(headings).size, headings.length);
});

Deno.test("every TOML example on the page is accepted by the loader", () => {
  const examples = [...renderConfigMarkdown().matchAll(/^```toml\n(.*?)^```$/gms)];
  assert.equal(examples.length, 4);
  for (const [, text] of examples) parseConfig(text ?? "", { file: "docs/configuration.md" });
});

Deno.test("the schema is JSON and refuses unknown keys at the top", () => {
  const schema = JSON.parse(renderConfigSchema());
  assert.equal(schema.$schema, "https://json-schema.org/draft/2020-12/schema");
  assert.equal(schema.additionalProperties, false);
  assert.equal(schema.properties.server.properties.port.maximum, 65_535);
});
