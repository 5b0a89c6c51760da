/**
 * Shows what is redrawn in place: a view on a terminal's alternate screen that disappears at the end, and a progress
 * bar. In a pipe, views come one after another, and there is no bar. The command provides the content.
 */
import { type Io, type Output, print, type ScreenSize } from "./io.ts";
import type { SingleBar } from "cli-progress";

/** A place where views are shown. */
interface Screen {
  show(text: string): Promise<void>;
  /** Restores the terminal. */
  close(): Promise<void>;
}

const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";
/** Moves the cursor to the top left. Drawing then clears the rest of each line and everything below. */
const HOME = "\u001b[H";
const CLEAR_LINE = "\u001b[K";
const CLEAR_BELOW = "\u001b[J";

/** The part of a view that fits the terminal, so that nothing wraps or scrolls. */
export function cropped(text: string, { columns, rows }: ScreenSize): string {
  const lines = text.replace(/\n$/, "").split("\n");
  const cut = lines.length < rows ? lines : [...lines.slice(0, Math.max(0, rows - 2)), "…"];
  return cut.map((line) => `${[...line].slice(0, columns).join("")}\n`).join("");
}

/** Opens a screen. With `is_plain` it never draws in place, even on a terminal. */
export function openScreen(io: Io, is_plain: boolean): Screen {
  const in_place = io.stdout.is_tty && !is_plain;
  let entered = false;
  return {
    async show(text) {
      if (!in_place) return await print(io.stdout, text);
      // The size is read each time, since the user may resize the window.
      const size = io.size();
      const drawn = (size === undefined ? text : cropped(text, size)).replaceAll(
        "\n",
        `${CLEAR_LINE}\n`,
      );
      await print(io.stdout, `${entered ? "" : ENTER}${HOME}${drawn}${CLEAR_BELOW}`);
      entered = true;
    },
    async close() {
      if (entered) await print(io.stdout, LEAVE);
      entered = false;
    },
  };
}

/** Time in ms before a bar is shown. */
const PATIENCE_MS = 500;
/** The unit of the count: `messages`, or `bytes`, which are shown in MiB. */
type Unit = "messages" | "bytes";
const UNITS: Readonly<Record<Unit, { readonly size: number; readonly name: string }>> = {
  messages: { size: 1, name: "messages" },
  bytes: { size: 1_048_576, name: "MiB" },
};
const format = (name: string) =>
  `{bar} {percentage}% | {value}/{total} ${name} | {rate}/s | {eta_formatted} left`;
const endless = (name: string) => `{value} ${name} | {rate}/s`;

/** A progress bar. */
export interface Progress {
  /** Shows that `done` pieces of work are finished. */
  update(done: number): void;
  stop(): void;
}

/** Makes a progress bar on stderr, which loads nothing unless that is a terminal. `total` undefined: unknown. */
export async function createProgress(
  { stderr, monotonic_ms: now }: Pick<Io, "monotonic_ms"> & {
    readonly stderr: Pick<Output, "is_tty">;
  },
  total?: number,
  unit: Unit = "messages",
): Promise<Progress> {
  const { size, name } = UNITS[unit];
  if (!stderr.is_tty) return { update() {}, stop() {} };
  const { SingleBar } = await import("cli-progress");
  const { default: process } = await import("node:process");
  const started_ms = now();
  let bar: SingleBar | undefined;
  let stopped = false;
  return {
    update(done) {
      if (stopped) return;
      const elapsed_ms = now() - started_ms;
      if (bar === undefined) {
        if (elapsed_ms < PATIENCE_MS) return;
        bar = new SingleBar({
          format: total === undefined ? endless(name) : format(name),
          stream: process.stderr,
          hideCursor: true,
          clearOnComplete: true,
          // Ctrl-C is ours: a bar that handles signals would end the process.
          gracefulExit: false,
          barsize: 30,
        });
        bar.start(Math.ceil((total ?? 0) / size), Math.floor(done / size), { rate: 0 });
      }
      const rate = Math.round(done / size * 1_000 / elapsed_ms);
      bar.update(Math.floor(done / size), { rate });
    },
    stop() {
      if (!stopped) bar?.stop();
      stopped = true;
    },
  };
}
