/** The visible output of a program in a terminal, as pure functions. `terminal.ts` starts the program. */

/** A text without colours and other control sequences of a terminal. */
function plain(text: string): string {
  // deno-lint-ignore no-control-regex -- the escape character is what begins them
  return text.replaceAll(/\u001b\[[\d;?]*[A-Za-z]/g, "");
}

/** Deno's temporary display of a download: a bar, and a name below it. */
const DOWNLOADS = /^Download [▰▱]+.*\n {2}.*\n/gm;

/**
 * The visible lines of the screen, without colours. A carriage return, or an erased line, restarts the line: prompts
 * and npm's spinner are overwritten in this way.
 */
export function onScreen(text: string): string {
  const lines = text.replaceAll(/\r+\n/g, "\n");
  // deno-lint-ignore no-control-regex -- the escape character is what begins them
  const last_drawn = lines.replaceAll(/^[^\n]*(?:\r|\u001b\[[01]?G|\u001b\[2K)/gm, "");
  return plain(last_drawn).replaceAll(DOWNLOADS, "");
}
