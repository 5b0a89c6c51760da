/** Versions of Deno: the one for this release, and the oldest supported one. */

/** The version of Deno for which this release was made. */
export const MADE_FOR_DENO = "2.9.6";
/** Older versions cannot read the console's files, and accept connections without answering them. */
const OLDEST_DENO = "2.8.0";

/** Whether version `have` is `oldest` or newer; both have the form "2.9.6". */
export function isAtLeast(have: string, oldest: string): boolean {
  const numbers = (text: string) =>
    (/^v?(\d+)\.(\d+)\.(\d+)/.exec(text) ?? []).slice(1).map(Number);
  const mine = numbers(have);
  const needed = numbers(oldest);
  if (mine.length < 3) return false;
  const at = mine.findIndex((number, index) => number !== needed[index]);
  return at < 0 || (mine[at] ?? 0) > (needed[at] ?? 0);
}

/** Why this Deno cannot run a server; undefined if it can. */
export function denoProblem(version: string = Deno.version.deno): string | undefined {
  if (isAtLeast(version, OLDEST_DENO)) return undefined;
  return `Deno ${version} is too old: expected ${OLDEST_DENO} or newer. ` +
    `This release was made for Deno ${MADE_FOR_DENO}`;
}
