/**
 * Transforms a Markdown file of the checkout into a page of the site, as a pure function: links to other pages lead to
 * their addresses on the site, links to sources lead to GitHub, and headings keep their GitHub anchors. `site.ts` reads
 * and writes the files.
 */
import { HOME, placeOf, SECTIONS, type SitePage } from "../../docs/.vitepress/pages.ts";
import { headings, linesWithoutCode, resolvePath } from "../checkout/markdown.ts";
import type { Violation } from "../checkout/violation.ts";

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
export function linkedPage(
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
