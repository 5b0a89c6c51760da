/**
 * The site for programs, as pure functions: every page as Markdown under its own address, `llms.txt`, which lists the
 * pages (https://llmstxt.org), and `llms-full.txt`, which contains all of them. `site.ts` writes the files.
 */
import { HOME, placeOf, SECTIONS, type SitePage } from "../../docs/.vitepress/pages.ts";
import { linkedPage, PAGES } from "./site_pages.ts";

/** Maximum length of a page's description in the list, in characters. */
const ABOUT_CHARS = 200;

/** A document of the checkout by its file. */
export type Texts = ReadonlyMap<string, string>;

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
