/** The transformation of a page of the site, and the documents that the navigation must name. */
import assert from "node:assert/strict";
import { HOME, SECTIONS } from "../../docs/.vitepress/pages.ts";
import { links } from "../checkout/markdown.ts";
import { ROOT } from "../checkout/source_files.ts";
import { arqHelp, firstParagraph, llmsFullText, llmsText, markdownPages } from "./site_pages.ts";
import { navigationProblems, PAGES, sitePage, siteTarget } from "./site_pages.ts";
import { describeCommand, everyCommand } from "../../arq/completion/command_tree.ts";
import { buildProgram } from "../../arq/program/program.ts";

const isFolder = (path: string) => path === "shared/spine";
const page = (text: string, file = "docs/durable.md") => sitePage(file, text, isFolder);
const SOURCES = "https://github.com/novelbytelabs/arqonbus";

Deno.test("links between pages lead to their addresses, independent of the files' folders", () => {
  const target = (file: string, link: string) => siteTarget(file, link, isFolder);
  assert.equal(target("docs/durable.md", "presence.md#kick-and-ban"), "./presence.md#kick-and-ban");
  assert.equal(target("docs/durable.md", "../sdk/python/README.md"), "./sdk_python.md");
  assert.equal(target("sdk/python/README.md", "../../docs/errors.md"), "./errors.md");
  assert.equal(target("docs/durable.md", "#how-it-works"), "#how-it-works");
  assert.equal(target("docs/console.md", "console/room.png"), "./console/room.png");
});

Deno.test("links to sources lead to GitHub, other addresses stay", () => {
  const target = (link: string) => siteTarget("docs/durable.md", link, isFolder);
  assert.equal(target("../shared/spine/"), `${SOURCES}/tree/main/shared/spine`);
  assert.equal(target("../shield/fanout/hub.ts"), `${SOURCES}/blob/main/shield/fanout/hub.ts`);
  assert.equal(target("../README.md#how-fast"), `${SOURCES}/blob/main/README.md#how-fast`);
  assert.equal(target("https://nats.io"), "https://nats.io");
});

Deno.test("several links of a line and reference definitions are rewritten, code is not", () => {
  assert.equal(
    page("[`a`](presence.md), [b](../a.ts) and `[c](../a.ts)`\n[d]: errors.md"),
    `[\`a\`](./presence.md), [b](${SOURCES}/blob/main/a.ts) and \`[c](../a.ts)\`\n[d]: ./errors.md`,
  );
  assert.equal(
    page("```\n[a](presence.md)\n# no heading\n```"),
    "```\n[a](presence.md)\n# no heading\n```",
  );
});

Deno.test("headings keep the anchors that GitHub gives them", () => {
  assert.equal(
    page("# A & B\n## C: `d` ##\n## C: d"),
    "# A & B {#a--b}\n## C: `d` {#c-d}\n## C: d {#c-d-1}",
  );
});

Deno.test("a document without an entry and an entry without a document are reported", () => {
  const all = PAGES.map(({ file }) => file);
  assert.deepEqual(navigationProblems([...all, "tests/tls/README.md"]), []);
  assert.deepEqual(
    navigationProblems([...all.filter((file) => file !== "docs/errors.md"), "docs/lost.md"])
      .map(({ path, message }) => `${path}: ${message}`),
    [
      "docs/.vitepress/pages.ts: docs/errors.md does not exist",
      "docs/lost.md: is in no section of docs/.vitepress/pages.ts",
    ],
  );
});

Deno.test("the navigation has at most nine entries, and the home page has each, with all of its pages", () => {
  assert.ok(SECTIONS.length <= 9, `${SECTIONS.length} entries`);
  const text = Deno.readTextFileSync(ROOT + HOME.file);
  const sections = text.split(/^## /m).slice(1);
  assert.deepEqual(
    sections.map((section) => section.split("\n")[0]),
    SECTIONS.map(({ text }) => text),
  );
  const missing = SECTIONS.flatMap(({ pages }, at) => {
    const linked = links(sections[at] ?? "").map(({ target }) =>
      new URL(target, "file:///docs/").pathname
    );
    return pages.filter(({ file }) => !linked.includes(`/${file}`)).map(({ file }) => file);
  });
  assert.deepEqual(missing, []);
});

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

Deno.test("every command has its section, with all of its options, and the exit codes are there once", () => {
  const sections = new Map(
    arqHelp().split(/^### /m).slice(1).map((text) => [/^`(.*) --help`$/m.exec(text)?.[1], text]),
  );
  const commands = everyCommand(describeCommand(buildProgram(() => () => Promise.resolve())));
  assert.deepEqual([...sections.keys()], commands.map(({ path }) => path.join(" ")));
  for (const { path, options } of commands) {
    const text = sections.get(path.join(" ")) ?? "";
    for (const { long } of options) assert.ok(text.includes(long), `${path.join(" ")} ${long}`);
  }
  assert.equal([...sections.values()].filter((text) => text.includes("Exit codes:")).length, 1);
});
