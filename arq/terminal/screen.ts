/**
 * Shows a view that is redrawn: in place on a terminal, on an alternate screen that disappears at the end; in a pipe
 * one view after another. The command provides the content.
 */
import { type Io, print, type ScreenSize } from "./io.ts";

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
