/** What a person sees of a program's output in a terminal, as pure functions. `terminal.ts` starts the program. */

/** A text without colours and other control sequences of a terminal. */
function plain(text: string): string {
  // deno-lint-ignore no-control-regex -- the escape character is what begins them
  return text.replaceAll(/\u001b\[[\d;?]*[A-Za-z]/g, "");
}

/** How Deno draws for a moment what it downloads: a bar, and below it a name. */
const DOWNLOADS = /^Download [▰▱]+.*\n {2}.*\n/gm;

/**
 * The lines that stand on the screen, without colours. A return to the first column, or an erased line,
 * begins the line anew: this is how prompts and npm's spinner are drawn over.
 */
export function onScreen(text: string): string {
  const lines = text.replaceAll(/\r+\n/g, "\n");
  // deno-lint-ignore no-control-regex -- the escape character is what begins them
  const last_drawn = lines.replaceAll(/^[^\n]*(?:\r|\u001b\[[01]?G|\u001b\[2K)/gm, "");
  return plain(last_drawn).replaceAll(DOWNLOADS, "");
}
