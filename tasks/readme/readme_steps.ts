/**
 * Reads the steps of a reader from a Markdown page. Every `sh` block is typed into one terminal, in the order
 * of the page: the folder, variables and functions are kept. It must succeed. Its expected output is the
 * `text` block after it; `…` matches the rest of a word or line, and alone in its line any number of
 * lines. A block with `file=PATH` in its fence is the text of a file that the reader saves; `ignore` is for
 * `deno check`.
 *
 * A comment directly above the fence marks the exceptions:
 *
 * - `<!-- keeps running -->`: commands in a separate terminal, until the page ends. The reader continues when
 *   the `text` block after them is on its screen; lines `> …` of that block are typed there.
 * - `<!-- in that terminal -->`: a `text` block that belongs to the last such terminal without one. The
 *   reader has continued after its commands when its first line was there.
 * - `<!-- fails -->`: commands that end with another code than 0.
 * - `<!-- not run: REASON -->`: a block for people only, like a `text` block after it.
 * - `<!-- test command -->`: the commands that run the tests.
 *
 * Pure; `reader.ts` runs the steps. Blocks in other languages without `file=` are for people only.
 */
import { type FencedBlock, fencedBlocks, linesWithoutCode } from "../checkout/markdown.ts";

/** Marks a document whose commands `deno task readme` runs in addition to those of the README. */
export const RUN_PAGE = "<!-- deno task readme runs this page -->";

/** The source of a step: the line of its fence, from 1, the heading above it, and its text. */
export interface Place {
  readonly line: number;
  readonly section: string;
  readonly text: string;
}

/** One action. */
export type Step =
  & Place
  & (
    | { readonly kind: "run"; readonly fails: boolean; readonly prints: string | undefined }
    /** Commands in a separate terminal; the reader continues when `ready` is on its screen. */
    | { readonly kind: "start"; readonly ready: string }
    /** A text that appears in the terminal that was started in the line `by`. */
    | { readonly kind: "printed"; readonly by: number }
    | { readonly kind: "file"; readonly path: string }
    | { readonly kind: "tests" }
  );

/** The valid comments above a block, by its language; `not run` is valid above any block. */
const MARKERS: Readonly<Record<string, readonly string[]>> = {
  sh: ["keeps running", "fails", "test command"],
  text: ["in that terminal"],
};
/** Languages in which people also write commands: such a block would be skipped silently. */
const OTHER_SHELLS = ["bash", "console", "shell", "zsh"];

function fault(line: number, message: string): Error {
  return new Error(`line ${line}: ${message}`);
}

/** The comment directly above a fence; "" if there is none. Throws for an unknown comment. */
function markerOf(lines: readonly string[], { language, line }: FencedBlock): string {
  let above = line - 2;
  while (lines[above]?.trim() === "") above--;
  const marker = /^<!--\s*(.*?)\s*-->$/.exec(lines[above]?.trim() ?? "")?.[1] ?? "";
  const known = MARKERS[language]?.includes(marker) || /^not run: \S/.test(marker);
  if (marker === "" || known) return marker;
  throw fault(
    line,
    `"${marker}" means nothing above ${language}: see tasks/readme/readme_steps.ts`,
  );
}

/** The path in a fence; "" if it has none. Throws for unknown words. */
function pathOf({ info, line }: FencedBlock): string {
  const words = info.split(" ")
    .filter((word) => word !== "" && word !== "ignore" && !word.startsWith("shows="));
  const path = /^file=([\w./-]+)$/.exec(words[0] ?? "")?.[1] ?? "";
  if (words.length > (path === "" ? 0 : 1)) throw fault(line, `"${info}" means nothing`);
  return path;
}

class Page {
  readonly steps: Step[] = [];
  /** The line of the commands whose output may be next; "left out" for commands that are not run. */
  #last: number | "left out" | undefined;
  /** The lines of the programs that keep running and have no output yet. */
  readonly #silent: number[] = [];

  add({ language, line, text }: FencedBlock, section: string, marker: string, path: string): void {
    const place = { line, section, text };
    const last = this.#last;
    this.#last = undefined;
    if (OTHER_SHELLS.includes(language)) throw fault(line, `commands are in sh, not ${language}`);
    if (marker.startsWith("not run")) this.#last = "left out";
    else if (path !== "") this.steps.push({ ...place, kind: "file", path });
    else if (language === "ts") throw fault(line, "no file=PATH says where the program is saved");
    else if (language === "sh") this.#command(place, marker);
    else if (language !== "text") return;
    else if (marker === "in that terminal") this.#later(place);
    else if (last !== "left out") this.#behind(place, last);
  }

  #command(place: Place, marker: string): void {
    if (marker === "test command") {
      this.steps.push({ ...place, kind: "tests" });
      return;
    }
    this.#last = this.steps.length;
    if (marker === "keeps running") {
      this.#silent.push(this.steps.length);
      this.steps.push({ ...place, kind: "start", ready: "" });
    } else {
      this.steps.push({ ...place, kind: "run", fails: marker === "fails", prints: undefined });
    }
  }

  /** The text of a terminal with an earlier start. */
  #later(place: Place): void {
    const at = this.#silent.pop();
    const start = at === undefined ? undefined : this.steps[at];
    if (at === undefined || start?.kind !== "start") {
      throw fault(place.line, "each program that keeps running has its text already");
    }
    if (place.text.startsWith("…")) throw fault(place.line, "no first line says when to go on");
    this.steps[at] = { ...start, ready: `${place.text.split("\n")[0]}\n…\n` };
    this.steps.push({ ...place, kind: "printed", by: start.line });
  }

  /** A text directly after commands. */
  #behind({ line, text }: Place, at: number | undefined): void {
    const step = at === undefined ? undefined : this.steps[at];
    if (at === undefined || step === undefined) throw fault(line, "no commands print this text");
    if (step.kind === "run") this.steps[at] = { ...step, prints: text };
    else if (step.kind === "start") {
      this.steps[at] = { ...step, ready: text };
      this.#silent.pop();
    }
  }

  /** Throws if the page shows no output of a program that keeps running. */
  end(): Step[] {
    const silent = this.steps[this.#silent[0] ?? -1];
    if (silent !== undefined) throw fault(silent.line, "no text says when this is ready");
    return this.steps;
  }
}

/** Every step of a page in order. Throws an Error with the line of an invalid block. */
export function readSteps(text: string): Step[] {
  const page = new Page();
  const lines = text.split("\n");
  const prose = linesWithoutCode(text);
  for (const block of fencedBlocks(text)) {
    const heading = prose.findLast((line, at) => at < block.line && /^## /.test(line)) ?? "";
    page.add(block, heading.slice("## ".length).trim(), markerOf(lines, block), pathOf(block));
  }
  return page.end();
}

/** The headings without commands below them. */
export function withoutCommands(steps: readonly Step[], headings: readonly string[]): string[] {
  const commands = steps.filter(({ kind }) => ["run", "start"].includes(kind));
  return headings.filter((heading) => !commands.some(({ section }) => section === heading));
}

const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/**
 * Whether a program printed the text of a page. `…` matches the rest of a word or line; alone in its line it matches
 * any number of lines. Blanks at the ends of lines do not count.
 */
export function shows(expected: string, actual: string): boolean {
  const lines = expected.trimEnd().split("\n").map((line) =>
    line.trim() === "…"
      ? "(?:[^\\n]*\\n)*"
      : `${line.trimEnd().split("…").map(escaped).join("[^\\n]*")}[ \\t]*\\n`
  );
  return new RegExp(`^${lines.join("")}$`).test(`${actual.trimEnd()}\n`);
}
