/** The configuration page is complete; the rule `documents` reads its examples. */
import assert from "node:assert/strict";
import { configJsonSchema, type JsonSchema } from "../../shared/config/json_schema.ts";
import { ROOT } from "../checkout/source_files.ts";
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
  const headings = PAGE.split("\n").filter((line) => line.startsWith("### "));
  assert.equal(new Set(headings).size, headings.length);
});

Deno.test("a generated part of a page is replaced; a missing or an unknown part is named", () => {
  const page = (part: string) =>
    `# T\n\n<!-- generated: a -->\n\n${part}\n\n<!-- /generated -->\n\nend\n`;
  assert.equal(withParts(page("old"), { a: "new\n" }), page("new"));
  assert.throws(() => withParts(page("old"), {}), /part "a", which is not made/);
  assert.throws(() => withParts("# T\n", { a: "new" }), /has lost its part a/);
});
