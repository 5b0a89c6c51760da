/**
 * The rules for our Markdown as pure functions: links lead to a place in the checkout, named tasks exist, and
 * fenced `json` and `toml` blocks are valid. `docs.ts` reads the files; `deno check` type-checks the `ts`
 * blocks.
 */
import { anchors, fencedBlocks, links, namedTasks } from "../checkout/markdown.ts";
import type { Violation } from "../checkout/violation.ts";

/** The questions of the rules about the rest of the checkout. */
export interface Checkout {
  /** Whether a file or folder exists; the path has no trailing slash. */
  has(path: string): boolean;
  /** The text of a Markdown file; undefined when there is none. */
  markdown(path: string): string | undefined;
  /** Names of the tasks in deno.json. */
  readonly tasks: ReadonlySet<string>;
  /** The problem with a `config.toml`; undefined when there is none. */
  configProblem(text: string): string | undefined;
}

/** The path of a relative target, from the file that names it; undefined when it leaves the checkout. */
function resolvePath(from: string, target: string): string | undefined {
  const parts = from.split("/").slice(0, -1);
  for (const part of target.split("/")) {
    if (part === "..") {
      if (parts.pop() === undefined) return undefined;
    } else if (part !== "." && part !== "") parts.push(part);
  }
  return parts.join("/");
}

function linkProblem(path: string, target: string, checkout: Checkout): string | undefined {
  if (/^[a-z][a-z0-9+.-]*:/i.test(target)) return undefined;
  if (target.startsWith("/")) return `"${target}": links are relative`;
  const [file = "", anchor] = decodeURIComponent(target).split("#");
  const resolved = file === "" ? path : resolvePath(path, file);
  if (resolved === undefined) return `"${target}" leads out of the checkout`;
  if (resolved !== "" && !checkout.has(resolved)) return `"${target}" does not exist`;
  if (anchor === undefined || anchor === "") return undefined;
  const text = checkout.markdown(resolved);
  if (text === undefined || anchors(text).has(anchor)) return undefined;
  return `"${target}": ${resolved} has no heading "#${anchor}"`;
}

function jsonProblem(text: string): string | undefined {
  try {
    JSON.parse(text);
    return undefined;
  } catch (error) {
    return `not JSON: ${error instanceof Error ? error.message : error}`;
  }
}

/** The violations of one Markdown file. */
export function checkMarkdown(path: string, text: string, checkout: Checkout): Violation[] {
  const broken = links(text).map(({ target, line }) => ({
    line,
    message: linkProblem(path, target, checkout),
  }));
  const unknown = namedTasks(text).map(({ name, line }) => ({
    line,
    message: checkout.tasks.has(name) ? undefined : `deno.json has no task "${name}"`,
  }));
  const blocks = fencedBlocks(text).map(({ language, text, line }) => ({
    line,
    message: language === "json"
      ? jsonProblem(text)
      : language === "toml"
      ? checkout.configProblem(text)
      : undefined,
  }));
  return [...broken, ...unknown, ...blocks].flatMap(({ line, message }) =>
    message === undefined ? [] : [{ path, line, message }]
  );
}
