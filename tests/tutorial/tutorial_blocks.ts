/**
 * Reads out of a Markdown page what a reader of it would do: start a bus, write files, run commands,
 * look at what they print. The fence says so, behind its language:
 *
 * - `test bus`: one line that starts the bus, and stays
 * - `test`, `test fails`: commands that end, with 0 or with another code
 * - `test background`: a command in another terminal, which goes on until `background`
 * - `file=PATH`: the text of a file in the reader's folder
 * - `output`, `background`: what the commands before, or those in the other terminal, have printed
 *
 * Pure; `tutorial_shell.ts` does it. Fences without such words are for readers only.
 */
import { fencedBlocks } from "../../tasks/checkout/markdown.ts";

/** One thing to do; `line` is where the page says it, from 1. */
export type Step =
  & { readonly line: number; readonly text: string }
  & (
    | { readonly kind: "bus" | "background" | "output" | "background output" }
    | { readonly kind: "run"; readonly fails: boolean }
    | { readonly kind: "file"; readonly path: string }
  );

/** Every step of a page in its order. Throws for words behind a language that mean nothing. */
export function readSteps(page: string): Step[] {
  return fencedBlocks(page).flatMap(({ info, text, line }): Step[] => {
    if (info === "") return [];
    const at = { line, text };
    const path = /^file=([\w./-]+)$/.exec(info)?.[1];
    if (path !== undefined) return [{ ...at, kind: "file", path }];
    if (info === "test bus") return [{ ...at, kind: "bus" }];
    if (info === "test background") return [{ ...at, kind: "background" }];
    if (info === "test") return [{ ...at, kind: "run", fails: false }];
    if (info === "test fails") return [{ ...at, kind: "run", fails: true }];
    if (info === "output") return [{ ...at, kind: "output" }];
    if (info === "background") return [{ ...at, kind: "background output" }];
    throw new RangeError(`line ${line}: "${info}" is nothing that a block can be`);
  });
}

const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** Whether a command printed what a page shows. `…` stands for the rest of a word or line, and alone
 * in its line for any number of lines. Blanks at the ends of lines do not count. */
export function shows(expected: string, actual: string): boolean {
  const lines = expected.trimEnd().split("\n").map((line) =>
    line.trim() === "…"
      ? "(?:[^\\n]*\\n)*"
      : `${line.trimEnd().split("…").map(escaped).join("[^\\n]*")}[ \\t]*\\n`
  );
  return new RegExp(`^${lines.join("")}$`).test(`${actual.trimEnd()}\n`);
}
