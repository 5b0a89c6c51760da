/**
 * Reads what the gate checks out of a Markdown text: fenced blocks, links, anchors and the names
 * of tasks. Pure, and no Markdown renderer: it knows fences, inline code, headings and links.
 */

/** A fenced block; `line` is the line of its opening fence, from 1. */
export interface FencedBlock {
  readonly language: string;
  readonly text: string;
  readonly line: number;
}

/** A link or an image: its target as written. */
export interface Link {
  readonly target: string;
  readonly line: number;
}

interface Split {
  readonly blocks: readonly FencedBlock[];
  /** The text without its blocks; blank lines stand for them, so that line numbers hold. */
  readonly prose: readonly string[];
}

function splitFences(text: string): Split {
  const blocks: FencedBlock[] = [];
  const prose: string[] = [];
  let open: { fence: string; language: string; line: number; body: string[] } | undefined;
  for (const [index, line] of text.split("\n").entries()) {
    const [, fence, info] = /^\s*(`{3,}|~{3,})\s*([^`]*)$/.exec(line) ?? [];
    prose.push(open !== undefined || fence !== undefined ? "" : line);
    if (open === undefined && fence !== undefined) {
      open = { fence, language: info?.trim().split(/\s/, 1)[0] ?? "", line: index + 1, body: [] };
    } else if (open !== undefined && fence?.startsWith(open.fence) && info?.trim() === "") {
      blocks.push({ language: open.language, text: open.body.join("\n") + "\n", line: open.line });
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

/** The anchors that a heading gets on GitHub; a repeated heading gets `-1`, `-2`, … */
export function anchors(text: string): Set<string> {
  const found = new Set<string>();
  for (const line of splitFences(text).prose) {
    const heading = /^#{1,6}\s+(.*?)\s*#*$/.exec(line)?.[1];
    if (heading === undefined) continue;
    const visible = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/[`*]/g, "");
    const slug = visible.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").replace(/\s/g, "-");
    let anchor = slug;
    for (let copy = 1; found.has(anchor); copy++) anchor = `${slug}-${copy}`;
    found.add(anchor);
  }
  return found;
}

/** Every `deno task NAME` that a text tells people to run, in prose or in a block. */
export function namedTasks(text: string): { name: string; line: number }[] {
  return text.split("\n").flatMap((line, index) =>
    [...line.matchAll(/\bdeno(?:@[\d.]+)? task ([a-z][\w:-]*)/g)].flatMap(([, name]) =>
      name === undefined ? [] : [{ name, line: index + 1 }]
    )
  );
}
