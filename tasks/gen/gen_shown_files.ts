/**
 * Programs that a page shows: a block whose fence has `shows=PATH` contains that file's text, without the comment at
 * its top; `shows=PATH#NAME` contains the lines between `#region NAME` and `#endregion`. Pages without such a block are
 * not changed.
 */
import { fencedBlocks } from "../checkout/markdown.ts";
import { formatted } from "./gen_sdks.ts";

const OPENING = /^(?:\/\*\*[^]*?\*\/|"""[^]*?"""|(?:#(?!!|:)[^\n]*\n)+|(?:\/\/[^\n]*\n)+)\n*/;

function withoutIndent(text: string): string {
  const lines = text.split("\n");
  const least = Math.min(
    ...lines.filter((line) => line.trim() !== "").map((line) => line.search(/\S/)),
  );
  return lines.map((line) => line.slice(least)).join("\n");
}

/** The shown part of a file. Throws if the file has no such region. */
export function shownPart(text: string, path: string, region: string | undefined): string {
  if (region === undefined) return text.replace(OPENING, "").trim();
  const mark = new RegExp(`^[^\\n]*#region ${region}\\n([^]*?)^[^\\n]*#endregion`, "m");
  const part = mark.exec(text)?.[1];
  if (part === undefined) throw new TypeError(`${path} has no "#region ${region}"`);
  return withoutIndent(part).trim();
}

/** The page with the current text of each file that it shows. */
export async function withShownFiles(
  page: string,
  read: (path: string) => Promise<string>,
): Promise<string> {
  const lines = page.split("\n");
  for (const { info, text, line } of fencedBlocks(page).toReversed()) {
    const [, path = "", region] = /(?:^|\s)shows=([^\s#]+)(?:#(\S+))?/.exec(info) ?? [];
    if (path === "") continue;
    const part = shownPart(await read(path), path, region);
    lines.splice(line, text === "\n" ? 0 : text.split("\n").length - 1, ...part.split("\n"));
  }
  return lines.join("\n");
}

/** Every page of `paths` that shows a file, with its current text. `root` ends in a slash. */
export async function renderShownFiles(
  root: string,
  paths: readonly string[],
): Promise<[path: string, text: string][]> {
  const pages: [string, string][] = [];
  for (const path of paths) {
    const page = await Deno.readTextFile(root + path);
    if (!/^`{3,}.* shows=/m.test(page)) continue;
    const shown = await withShownFiles(page, (file) => Deno.readTextFile(root + file));
    pages.push([path, shown === page ? page : await formatted(shown, root)]);
  }
  return pages;
}
