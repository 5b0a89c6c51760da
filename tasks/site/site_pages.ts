/**
 * The pages of the site, as pure functions over the Markdown files of the checkout: links to other pages lead to their
 * addresses on the site, links to sources lead to GitHub, and headings keep their GitHub anchors. For programs every
 * page is also there as Markdown, with `llms.txt`, which lists the pages (https://llmstxt.org), and `llms-full.txt`,
 * which contains all of them. `site.ts` reads and writes the files.
 */
import { HOME, placeOf, SECTIONS, type SitePage } from "../../docs/.vitepress/pages.ts";
import { headings, linesWithoutCode, resolvePath } from "../checkout/markdown.ts";
import type { Violation } from "../checkout/violation.ts";
import type { Command } from "commander";
import { buildProgram, reflow } from "../../arq/program/program.ts";
import { EXIT_HELP } from "../../arq/terminal/exit.ts";

/** Address of the sources for readers. */
const SOURCES = "https://github.com/novelbytelabs/arqonbus";

/** Every page, the home page first. */
export const PAGES: readonly SitePage[] = [HOME, ...SECTIONS.flatMap(({ pages }) => pages)];

const places = new Map(PAGES.map((page) => [page.file, placeOf(page)]));

/** The target of a link in `file` on the site. `isFolder` answers for a path of the checkout. */
export function siteTarget(
  file: string,
  target: string,
  isFolder: (path: string) => boolean,
): string {
  if (/^[a-z][a-z0-9+.-]*:/i.test(target) || target.startsWith("#")) return target;
  const [path = "", anchor] = target.split("#");
  const hash = anchor === undefined ? "" : `#${anchor}`;
  const resolved = resolvePath(file, path);
  const place = places.get(resolved);
  if (place !== undefined) return `./${place}.md${hash}`;
  const inDocs = /^docs\/(.+\.(?:svg|png|json|txt|cast))$/.exec(resolved)?.[1];
  if (inDocs !== undefined) return `./${inDocs}`;
  return `${SOURCES}/${isFolder(resolved) ? "tree" : "blob"}/main/${resolved}${hash}`;
}

/** The text of a page, with links to the site or to the sources. */
function linkedPage(
  file: string,
  text: string,
  isFolder: (path: string) => boolean,
): string {
  const bare = linesWithoutCode(text);
  return text.split("\n").map((line, index) => {
    let written = line;
    const found = [
      ...(bare[index] ?? "").matchAll(/\]\(\s*<?([^)\s>]+)|^\s{0,3}\[[^\]]+\]:\s+<?(\S+)/dg),
    ];
    for (const match of found.reverse()) {
      const span = match.indices?.[1] ?? match.indices?.[2];
      if (span === undefined) continue;
      const [start, end] = span;
      const target = siteTarget(file, written.slice(start, end), isFolder);
      written = written.slice(0, start) + target + written.slice(end);
    }
    return written;
  }).join("\n");
}

/** The text of a page for the generator: with its links, and the anchors of its headings. */
export function sitePage(file: string, text: string, isFolder: (path: string) => boolean): string {
  const anchors = new Map(headings(text).map(({ line, anchor }) => [line - 1, anchor]));
  return linkedPage(file, text, isFolder).split("\n").map((line, index) => {
    const anchor = anchors.get(index);
    return anchor === undefined ? line : `${line.replace(/\s*#*\s*$/, "")} {#${anchor}}`;
  }).join("\n");
}

/** Documents of `docs/` that the navigation does not name, and pages in the navigation that do not exist. */
export function navigationProblems(documents: readonly string[]): Violation[] {
  const path = "docs/.vitepress/pages.ts";
  const there = new Set(documents);
  const missing = PAGES.filter(({ file }) => !there.has(file));
  const unnamed = documents.filter((file) => /^docs\/[^/]+\.md$/.test(file) && !places.has(file));
  return [
    ...missing.map(({ file }) => ({ path, line: 0, message: `${file} does not exist` })),
    ...unnamed.map((file) => ({ path: file, line: 0, message: `is in no section of ${path}` })),
  ];
}

/** Maximum length of a page's description in the list, in characters. */
const ABOUT_CHARS = 200;

/** A document of the checkout by its file. */
type Texts = ReadonlyMap<string, string>;

/** The first paragraph of a page, on one line and without links; "" for a page without one. */
export function firstParagraph(text: string): string {
  const blocks = text.split(/\n\s*\n/).map((block) => block.trim());
  const found = blocks.find((block) => /^[A-Za-z`*[]/.test(block) && !/^\[[^\]]+\]:/.test(block));
  return (found ?? "").replace(/\s*\n\s*/g, " ").replace(/\[([^\]]*)\]\([^)]*\)/g, "$1");
}

/** The first sentences of a page that are short enough for a list. */
function aboutOf(text: string): string {
  const [first = "", ...more] = firstParagraph(text).split(/(?<=[.:;]) (?=[A-Z`"])/);
  let about = first;
  for (const sentence of more) {
    if (about.length + sentence.length >= ABOUT_CHARS) break;
    about = `${about} ${sentence}`;
  }
  return about.replace(/[:;]$/, ".");
}

/** `llms.txt`. */
export function llmsText(texts: Texts): string {
  const line = (page: SitePage) => {
    const about = aboutOf(texts.get(page.file) ?? "");
    return `- [${page.text}](${placeOf(page)}.md)${about === "" ? "" : `: ${about}`}`;
  };
  const sections = SECTIONS.map(({ text, pages }) =>
    `## ${text}\n\n${pages.map(line).join("\n")}\n`
  );
  const head = `# ${HOME.text}\n\n> ${firstParagraph(texts.get(HOME.file) ?? "")}\n`;
  const how =
    "Every page is also there as Markdown: its address with `.md` behind it. All of them are " +
    "in [llms-full.txt](llms-full.txt).\n";
  return [head, how, ...sections].join("\n");
}

/** Every page as Markdown, by its path in the site. `isFolder` as in `linkedPage`. */
export function markdownPages(
  texts: Texts,
  isFolder: (path: string) => boolean,
): Map<string, string> {
  return new Map(PAGES.map((page) => {
    const text = texts.get(page.file) ?? "";
    return [`${placeOf(page)}.md`, linkedPage(page.file, text, isFolder)];
  }));
}

/** `llms-full.txt`: the pages one after the other, each with its path. */
export function llmsFullText(pages: ReadonlyMap<string, string>): string {
  return [...pages].map(([path, text]) => `<!-- ${path} -->\n\n${text.trim()}\n`).join("\n");
}

const COLUMNS = 90;

function everyCommand(command: Command, above = ""): [words: string, command: Command][] {
  const words = `${above}${command.name()}`;
  const shown = command.createHelp().visibleCommands(command);
  const below = command.commands.filter((one) => shown.includes(one));
  return [[words, command], ...below.flatMap((one) => everyCommand(one, `${words} `))];
}

function helpOf(command: Command): string {
  let text = "";
  command.configureOutput({
    writeOut: (part) => text += part,
    getOutHelpWidth: () => COLUMNS,
    getOutHasColors: () => false,
  });
  command.outputHelp();
  return reflow(text, COLUMNS);
}

/**
 * The help of every command of `arq`, which the site shows below `docs/arq.md`: a section for each command. Only the
 * first has the exit codes, which apply to every command.
 */
export function arqHelp(): string {
  const sections = everyCommand(buildProgram(() => () => Promise.resolve()))
    .map(([words, command], at) => {
      const text = helpOf(command);
      const shown = at === 0 ? text : text.replace(`\n${reflow(EXIT_HELP, COLUMNS)}`, "");
      return `### \`${words} --help\`\n\n\`\`\`text\n${shown.trim()}\n\`\`\`\n`;
    });
  return ["## Every command\n\nWhat `--help` says of each.\n", ...sections].join("\n");
}
