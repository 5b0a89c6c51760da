/**
 * Reads out of a Markdown page what its reader does. Every `sh` block is typed into one terminal, in the
 * order of the page: the folder, variables and functions stay. It must end well. What a block prints is the
 * `text` block behind it; `…` stands for the rest of a word or line, and alone in its line for any
 * lines. A block whose fence says `file=PATH` is the text of a file that the reader saves; `ignore` is for
 * `deno check`.
 *
 * What is otherwise, a comment says right above the fence:
 *
 * - `<!-- keeps running -->`: commands that get a terminal of their own, until the page ends. The reader goes
 *   on when the `text` block behind them is on its screen; lines `> …` of that block are typed there.
 * - `<!-- in that terminal -->`: a `text` block that belongs to the last such terminal without one. The
 *   reader has gone on from its commands when its first line was there.
 * - `<!-- fails -->`: commands that end with another code than 0.
 * - `<!-- not run: REASON -->`: a block that only people read, as is a `text` block behind it.
 * - `<!-- test command -->`: the commands that run the tests.
 *
 * Pure; `reader.ts` does it. Blocks in other languages without `file=` are for people only.
 */
import { type FencedBlock, fencedBlocks, linesWithoutCode } from "../checkout/markdown.ts";

/** Stands in a document whose commands `deno task readme` runs beside those of the README. */
export const RUN_PAGE = "<!-- deno task readme runs this page -->";

/** The place of a step: the line of its fence, from 1, the heading above it, and its text. */
export interface Place {
  readonly line: number;
  readonly section: string;
  readonly text: string;
}

/** One thing to do. */
export type Step =
  & Place
  & (
    | { readonly kind: "run"; readonly fails: boolean; readonly prints: string | undefined }
    /** Commands in a terminal of their own; `ready` is on its screen when the reader goes on. */
    | { readonly kind: "start"; readonly ready: string }
    /** A text that appears in the terminal of the start in the line `by`. */
    | { readonly kind: "printed"; readonly by: number }
    | { readonly kind: "file"; readonly path: string }
    | { readonly kind: "tests" }
  );

/** What may be said above a block, by its language; `not run` above any. */
const MARKERS: Readonly<Record<string, readonly string[]>> = {
  sh: ["keeps running", "fails", "test command"],
  text: ["in that terminal"],
};
/** Languages in which people write commands, too: one of these would be left out in silence. */
const OTHER_SHELLS = ["bash", "console", "shell", "zsh"];

function fault(line: number, message: string): Error {
  return new Error(`line ${line}: ${message}`);
}

/** The comment right above a fence; "" when there is none. Throws for one that means nothing. */
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

/** The path that a fence names; "" when it names none. Throws for words that mean nothing. */
function pathOf({ info, line }: FencedBlock): string {
  const words = info.split(" ")
    .filter((word) => word !== "" && word !== "ignore" && !word.startsWith("shows="));
  const path = /^file=([\w./-]+)$/.exec(words[0] ?? "")?.[1] ?? "";
  if (words.length > (path === "" ? 0 : 1)) throw fault(line, `"${info}" means nothing`);
  return path;
}

/** A page while it is read. */
class Page {
  readonly steps: Step[] = [];
  /** Where the commands are whose text may come next; "left out" for commands that are not run. */
  #last: number | "left out" | undefined;
  /** Where the programs are that keep running and have no text yet. */
  readonly #silent: number[] = [];

  /** Takes the next block. */
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

  /** A text of a terminal in which something was started before. */
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

  /** A text right behind commands. */
  #behind({ line, text }: Place, at: number | undefined): void {
    const step = at === undefined ? undefined : this.steps[at];
    if (at === undefined || step === undefined) throw fault(line, "no commands print this text");
    if (step.kind === "run") this.steps[at] = { ...step, prints: text };
    else if (step.kind === "start") {
      this.steps[at] = { ...step, ready: text };
      this.#silent.pop();
    }
  }

  /** Throws when something keeps running of which nothing is shown. */
  end(): Step[] {
    const silent = this.steps[this.#silent[0] ?? -1];
    if (silent !== undefined) throw fault(silent.line, "no text says when this is ready");
    return this.steps;
  }
}

/** Every step of a page in its order. Throws an Error with the line of what cannot be understood. */
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

/** Those of the headings below which nothing is run. */
export function withoutCommands(steps: readonly Step[], headings: readonly string[]): string[] {
  const commands = steps.filter(({ kind }) => ["run", "start"].includes(kind));
  return headings.filter((heading) => !commands.some(({ section }) => section === heading));
}

const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/**
 * Whether a program printed what a page shows. `…` stands for the rest of a word or line, and alone in its
 * line for any number of lines. Blanks at the ends of lines do not count.
 */
export function shows(expected: string, actual: string): boolean {
  const lines = expected.trimEnd().split("\n").map((line) =>
    line.trim() === "…"
      ? "(?:[^\\n]*\\n)*"
      : `${line.trimEnd().split("…").map(escaped).join("[^\\n]*")}[ \\t]*\\n`
  );
  return new RegExp(`^${lines.join("")}$`).test(`${actual.trimEnd()}\n`);
}
