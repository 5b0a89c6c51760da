/**
 * The rule for documents that code names, as a pure function over one file's text: the document exists in the
 * checkout, and an anchor is one of its headings. `docs.ts` reads the files; `doc_rules.ts` checks links in
 * Markdown.
 */
import type { Checkout } from "./doc_rules.ts";
import { anchors } from "../checkout/markdown.ts";
import { isTest } from "../checkout/source_files.ts";
import type { Violation } from "../checkout/violation.ts";

/** Extensions of files that may name documents, without Markdown. */
export const CITING_EXTENSIONS: readonly string[] = [
  ...[".ts", ".js", ".mjs", ".py", ".rs", ".c", ".wat", ".proto", ".css", ".html", ".sh"],
  ...[".toml", ".yaml", ".yml", ".conf", ".json"],
];

const C_STYLE = /\.(ts|js|mjs|rs|c|proto|css)$/;
/** The name of a document in running text, with its folders and its anchor. */
const NAME = /(?<![\w./}-])((?:\.{1,2}\/)*(?:[\w.-]+\/)*[A-Za-z][\w-]*\.md)(#[\w-]+)?(?![\w/])/g;

/** The name of a document in a text; `line` is from 1. */
interface Citation {
  readonly name: string;
  readonly anchor: string | undefined;
  readonly line: number;
}

/** The comment in each line of a file in the style of C. */
function slashComments(lines: readonly string[]): string[] {
  let inside = false;
  return lines.map((line) => {
    const opens = /^\s*\/\*/.test(line);
    if (inside || opens) {
      inside = !line.includes("*/");
      return line;
    }
    return /(?:^|\s)\/\/(?!\/)\s.*$/.exec(line)?.[0] ?? "";
  });
}

/** The comment or docstring in each line of Python, shell, TOML or YAML. */
function hashComments(lines: readonly string[]): string[] {
  let inside = false;
  return lines.map((line) => {
    const quotes = line.split('"""').length - 1;
    const docstring = inside || quotes > 0;
    if (quotes % 2 === 1) inside = !inside;
    return docstring ? line : /(?:^|\s)#\s.*$/.exec(line)?.[0] ?? "";
  });
}

/**
 * The documents that a file names: any document in a comment; outside of comments only those below `docs/`,
 * as in errors, hints and help. Strings in tests are samples and do not count.
 */
function citations(path: string, text: string): Citation[] {
  const lines = text.split("\n");
  const comments = C_STYLE.test(path) ? slashComments(lines) : hashComments(lines);
  return lines.flatMap((line, index) => {
    const inComment = comments[index] ?? "";
    const found = new Map<string, Citation>();
    const add = (from: string, wanted: (name: string) => boolean) => {
      for (const [whole, name = "", hash] of from.matchAll(NAME)) {
        if (!wanted(name)) continue;
        found.set(whole, { name, anchor: hash?.slice(1), line: index + 1 });
      }
    };
    add(inComment, () => true);
    if (!isTest(path)) add(line, (name) => name.startsWith("docs/"));
    return [...found.values()];
  });
}

/** The paths that a name may mean: from the root, or from the folder of the file that names it. */
function candidates(path: string, name: string): string[] {
  const parts = path.split("/").slice(0, -1);
  for (const part of name.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== ".") parts.push(part);
  }
  return name.startsWith(".") ? [parts.join("/")] : [name, parts.join("/")];
}

/** The names in a file whose document or heading does not exist. */
export function checkCitations(
  path: string,
  text: string,
  checkout: Pick<Checkout, "has" | "markdown">,
): Violation[] {
  return citations(path, text).flatMap(({ name, anchor, line }) => {
    const document = candidates(path, name).find((candidate) => checkout.has(candidate));
    if (document === undefined) {
      return [{ path, line, message: `"${name}" is no document of the checkout` }];
    }
    if (anchor === undefined || anchors(checkout.markdown(document) ?? "").has(anchor)) return [];
    return [{ path, line, message: `"${name}": ${document} has no heading "#${anchor}"` }];
  });
}
