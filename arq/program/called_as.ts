/** How a person started `arq`, so that what it suggests can be pasted. Pure: reads no environment. */

/** What tells it. */
export interface CalledBy {
  /** As the npm package's launcher says it: `npx arq`. */
  readonly ARQON_CALLED_AS?: string | undefined;
  /** `exec` below npx. */
  readonly npm_command?: string | undefined;
}

/** As in `CalledBy`, for whoever asks for permissions. */
export const CALLED_BY_VARIABLES = ["ARQON_CALLED_AS", "npm_command"] as const;

/** The words of a shell, of which one line can be made. */
const WORDS = /^[A-Za-z0-9 ._@/:\\-]{1,200}$/;

/** `arq`, `npx arq`, `npx -y deno task -q arq`; `is_checkout`: our sources, run by their task. */
export function calledAs(by: CalledBy, is_checkout: boolean): string {
  const { ARQON_CALLED_AS = "", npm_command } = by;
  if (WORDS.test(ARQON_CALLED_AS)) return ARQON_CALLED_AS;
  if (!is_checkout) return "arq";
  return `${npm_command === "exec" ? "npx -y " : ""}deno task -q arq`;
}
