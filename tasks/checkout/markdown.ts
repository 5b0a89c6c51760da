/**
 * Parses the parts of a Markdown text that the gate checks: fenced blocks, links, anchors and the names of tasks. Pure,
 * and not a Markdown renderer: it knows fences, inline code, headings and links.
 */
import { posix } from "node:path";

/** A fenced block; `line` is the line of its opening fence, from 1. */
export interface FencedBlock {
  readonly language: string;
  /** The words after the language on the opening fence, for example `test fails`. */
  readonly info: string;
  readonly text: string;
  readonly line: number;
}

/** A link or an image. The target is as written. */
export interface Link {
  readonly target: string;
  readonly line: number;
}

interface Split {
  readonly blocks: readonly FencedBlock[];
  /** The lines of the text, with blank lines in place of blocks, so that line numbers are unchanged. */
  readonly prose: readonly string[];
}

function splitFences(text: string): Split {
  const blocks: FencedBlock[] = [];
  const prose: string[] = [];
  let open: { fence: string; info: string; line: number; body: string[] } | undefined;
  for (const [index, line] of text.split("\n").entries()) {
    const [, fence, info] = /^\s*(`{3,}|~{3,})\s*([^`]*)$/.exec(line) ?? [];
    prose.push(open !== undefined || fence !== undefined ? "" : line);
    if (open === undefined && fence !== undefined) {
      open = { fence, info: info?.trim() ?? "", line: index + 1, body: [] };
    } else if (open !== undefined && fence?.startsWith(open.fence) && info?.trim() === "") {
      const [language = "", ...rest] = open.info.split(/\s+/);
      const body = open.body.join("\n") + "\n";
      blocks.push({ language, info: rest.join(" "), text: body, line: open.line });
      open = undefined;
    } else open?.body.push(line);
  }
  return { blocks, prose };
}

/** Every closed fenced block of a text. */
export function fencedBlocks(text: string): readonly FencedBlock[] {
  return splitFences(text).blocks;
}

/** Every link, image and reference definition outside of code. */
export function links(text: string): Link[] {
  return splitFences(text).prose.flatMap((line, index) => {
    const bare = line.replace(/(`+)(?:(?!\1).)*\1/g, "");
    const inline = bare.matchAll(/\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g);
    const defined = bare.matchAll(/^\s{0,3}\[[^\]]+\]:\s+<?([^\s>]+)/g);
    return [...inline, ...defined].flatMap(([, target]) =>
      target === undefined ? [] : [{ target, line: index + 1 }]
    );
  });
}

/**
 * The path of a relative target, relative to the root, from the file that names it, without a trailing slash. It begins
 * with `..` if it leaves the checkout.
 */
export function resolvePath(from: string, target: string): string {
  return posix.join(posix.dirname(from), target).replace(/^\.?\/?$|\/$/, "");
}

/** A heading: its line, from 1, and its anchor on GitHub. */
export interface Heading {
  readonly anchor: string;
  readonly line: number;
}

/** Every heading of a text. The anchor of a repeated heading ends in `-1`, `-2`, …. */
export function headings(text: string): Heading[] {
  const taken = new Set<string>();
  return splitFences(text).prose.flatMap((line, index) => {
    const heading = /^#{1,6}\s+(.*?)\s*#*$/.exec(line)?.[1];
    if (heading === undefined) return [];
    const visible = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/[`*]/g, "");
    const slug = visible.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").replace(/\s/g, "-");
    let anchor = slug;
    for (let copy = 1; taken.has(anchor); copy++) anchor = `${slug}-${copy}`;
    taken.add(anchor);
    return [{ anchor, line: index + 1 }];
  });
}

/** The anchors of all headings of a text. */
export function anchors(text: string): Set<string> {
  return new Set(headings(text).map(({ anchor }) => anchor));
}

/** The lines of a text in which fenced blocks are empty and inline code is replaced by spaces of the same length. */
export function linesWithoutCode(text: string): string[] {
  return splitFences(text).prose.map((line) =>
    line.replace(/(`+)(?:(?!\1).)*\1/g, (code) => " ".repeat(code.length))
  );
}

/** Every `deno task NAME` that a text tells people to run, in prose or in a block. */
export function namedTasks(text: string): { name: string; line: number }[] {
  return text.split("\n").flatMap((line, index) =>
    [...line.matchAll(/\bdeno(?:@[\d.]+)? task ([a-z][\w:-]*)/g)].flatMap(([, name]) =>
      name === undefined ? [] : [{ name, line: index + 1 }]
    )
  );
}
