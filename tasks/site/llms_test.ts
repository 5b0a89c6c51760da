/** The site for programs: the list of its pages, and the pages as Markdown. */
import assert from "node:assert/strict";
import { ROOT } from "../checkout/source_files.ts";
import { firstParagraph, llmsFullText, llmsText, markdownPages } from "./llms.ts";
import { PAGES } from "./site_pages.ts";

const texts = new Map(PAGES.map(({ file }) => [file, Deno.readTextFileSync(ROOT + file)]));

Deno.test("llms.txt lists every page once, with an existing address and its subject", () => {
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

Deno.test("a page's Markdown links other pages' Markdown", () => {
  const text = markdownPages(texts, () => false).get("protocol.md") ?? "";
  assert.match(text, /^# The protocol/);
  assert.match(text, /\]\(\.\/errors\.md\)/);
  assert.doesNotMatch(text, /\{#/, "no anchors of the generator");
});

Deno.test("the full text contains every whole page", () => {
  const pages = markdownPages(texts, () => false);
  const all = llmsFullText(pages);
  for (const text of pages.values()) assert.ok(all.includes(text.trim()));
});

Deno.test("a first paragraph is text, after any other content", () => {
  const page = "# T\n\n![a](b.svg)\n\n| a | b |\n\nSome [text](x.md)\nof *it*.\n\nMore.";
  assert.equal(firstParagraph(page), "Some text of *it*.");
  assert.equal(firstParagraph("# T\n"), "");
});
