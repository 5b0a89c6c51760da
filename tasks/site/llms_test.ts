/** What programs read of the site: the list of its pages, and the pages as Markdown. */
import assert from "node:assert/strict";
import { ROOT } from "../checkout/source_files.ts";
import { firstParagraph, llmsFullText, llmsText, markdownPages } from "./llms.ts";
import { PAGES } from "./site_pages.ts";

const texts = new Map(PAGES.map(({ file }) => [file, Deno.readTextFileSync(ROOT + file)]));

Deno.test("every page stands in llms.txt once, with an address that there is and what it is about", () => {
  const text = llmsText(texts);
  const pages = markdownPages(texts, () => false);
  assert.match(text, /^# ArqonBus\n\n> A realtime message bus .*\n\nEvery page/);
  const links = [...text.matchAll(/^- \[[^\]]+\]\(([^)]+)\)(: .+)?$/gm)];
  assert.equal(links.length, PAGES.length - 1, "all but the home page");
  for (const [line, path = "", about = ""] of links) {
    assert.ok(pages.has(path), path);
    assert.ok(about.length > 20, line);
    assert.doesNotMatch(about, /\]\(/, "no link");
  }
  assert.equal(new Set(links.map(([, path]) => path)).size, links.length);
});

Deno.test("a page's Markdown leads to other pages' Markdown", () => {
  const text = markdownPages(texts, () => false).get("protocol.md") ?? "";
  assert.match(text, /^# The protocol/);
  assert.match(text, /\]\(\.\/errors\.md\)/);
  assert.doesNotMatch(text, /\{#/, "no anchors of the generator");
});

Deno.test("the full text has every page whole", () => {
  const pages = markdownPages(texts, () => false);
  const all = llmsFullText(pages);
  for (const text of pages.values()) assert.ok(all.includes(text.trim()));
});

Deno.test("a first paragraph is text, whatever comes before it", () => {
  const page = "# T\n\n![a](b.svg)\n\n| a | b |\n\nSome [text](x.md)\nof *it*.\n\nMore.";
  assert.equal(firstParagraph(page), "Some text of *it*.");
  assert.equal(firstParagraph("# T\n"), "");
});
