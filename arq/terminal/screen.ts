/**
 * A view that is drawn again and again: on a terminal in place, on a screen of its own that goes away
 * with it; in a pipe one view after another. What is shown is the command's.
 */
import { print } from "./io.ts";
import type { Io, ScreenSize } from "./io.ts";

/** Where views are shown. */
export interface Screen {
  show(text: string): Promise<void>;
  /** Gives the terminal back as it was. */
  close(): Promise<void>;
}

const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";
/** To the top left; what is drawn then clears the rest of each line, and what is below. */
const HOME = "\u001b[H";
const CLEAR_LINE = "\u001b[K";
const CLEAR_BELOW = "\u001b[J";

/** What of a view the terminal holds: longer lines would wrap, further ones scroll the first away. */
export function cropped(text: string, { columns, rows }: ScreenSize): string {
  const lines = text.replace(/\n$/, "").split("\n");
  const cut = lines.length < rows ? lines : [...lines.slice(0, Math.max(0, rows - 2)), "…"];
  return cut.map((line) => `${[...line].slice(0, columns).join("")}\n`).join("");
}

/** `is_plain`: never in place, whatever stdout is. */
export function openScreen(io: Io, is_plain: boolean): Screen {
  const in_place = io.stdout.is_tty && !is_plain;
  let entered = false;
  return {
    async show(text) {
      if (!in_place) return await print(io.stdout, text);
      // Asked each time: whoever makes the window smaller gets a view that fits.
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

/** What went wrong in one view; the next may be right again. */
export function problemText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
