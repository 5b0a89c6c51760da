/** The generated configuration page and schema are complete, and their examples are accepted. */
import assert from "node:assert/strict";
import { configJsonSchema, type JsonSchema } from "../../shared/config/json_schema.ts";
import { parseConfig } from "../../shared/config/load.ts";
import { ROOT } from "../checkout/source_files.ts";
import { renderConfigSchema } from "./gen_config.ts";
import { withParts } from "./gen_pages.ts";

/** `deno task gen --check` compares its tables with the schema. */
const PAGE = await Deno.readTextFile(`${ROOT}docs/configuration.md`);

function keys(node: JsonSchema): string[] {
  // A table whose keys are all constants has no rows.
  const children = Object.entries((node.items ?? node).properties ?? {})
    .filter(([, { properties }]) => properties === undefined || Object.keys(properties).length > 0);
  return children.flatMap(([name, child]) => [name, ...keys(child)]);
}

Deno.test("the page has a row or a section for every key of the schema", () => {
  for (const key of keys(configJsonSchema())) {
    const found = PAGE.includes(`| \`${key}\` |`) || PAGE.includes(`${key}]`) ||
      PAGE.includes(`[${key}.`);
    assert.ok(found, `${key} is missing`);
  }
});

Deno.test("the page has a section for tables and for arrays of tables", () => {
  const headings = PAGE.split("\n").filter((line) => line.startsWith("### "));
  for (const name of ["[server]", "[[auth.issuers]]", "[platform.overseer]", "[limits]"]) {
    assert.ok(headings.includes(`### \`${name}\``), name);
  }
  assert.equal(new Set(headings).size, headings.length);
});

Deno.test("every TOML example on the page is accepted by the loader", () => {
  const examples = [...PAGE.matchAll(/^```toml\n(.*?)^```$/gms)];
  assert.equal(examples.length, 4);
  for (const [, text] of examples) parseConfig(text ?? "", { file: "docs/configuration.md" });
});

Deno.test("the schema is JSON and refuses unknown keys at the top", () => {
  const schema = JSON.parse(renderConfigSchema());
  assert.equal(schema.$schema, "https://json-schema.org/draft/2020-12/schema");
  assert.equal(schema.additionalProperties, false);
  assert.equal(schema.properties.server.properties.port.maximum, 65_535);
});

Deno.test("a generated part of a page is replaced; a missing or an unknown part is named", () => {
  const page = (part: string) =>
    `# T\n\n<!-- generated: a -->\n\n${part}\n\n<!-- /generated -->\n\nend\n`;
  assert.equal(withParts(page("old"), { a: "new\n" }), page("new"));
  assert.throws(() => withParts(page("old"), {}), /part "a", which is not made/);
  assert.throws(() => withParts("# T\n", { a: "new" }), /has lost its part a/);
});
