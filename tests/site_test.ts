/** The documentation site, built as published and viewed with Chromium: `site/child.ts`. The build checks links. */
import assert from "node:assert/strict";
import { deno } from "../tasks/checkout/programs.ts";
import { ROOT } from "../tasks/checkout/source_files.ts";
import { runInChild } from "./harness/child_scenarios.ts";
import { siteSearch } from "./site/search.ts";

/** Queries of users in the field's terms, and the pages that answer them. */
const QUERIES = new URL("site/queries.json", import.meta.url);
/** How many of the 40 queries must find their page among the first three results. */
const FOUND_MIN = 38;

Deno.test("the site of the documents in Chromium", async (t) => {
  await deno(["task", "--quiet", "docs:site", "--check"]);
  await t.step("a query has its page among the first three results", async () => {
    const search = await siteSearch(`${ROOT}.arqon/site/out`);
    const queries: [query: string, pages: string[]][] = Object.entries(
      JSON.parse(await Deno.readTextFile(QUERIES)),
    );
    assert.equal(queries.length, 40);
    const missed = queries.flatMap(([query, pages]) => {
      const first = search(query).slice(0, 3);
      return first.some((page) => pages.includes(page)) ? [] : `${query}: ${first.join(", ")}`;
    });
    assert.ok(queries.length - missed.length >= FOUND_MIN, missed.join("\n"));
  });
  await runInChild(t, "tests/site/child.ts");
});
