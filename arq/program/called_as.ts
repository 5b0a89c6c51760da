/**
 * The words with which the user started `arq`, so that a suggested command can be pasted. Pure: reads no environment.
 */

/** The environment variables that show how `arq` was started. */
interface CalledBy {
  /** Set by the launcher of the npm package: `npx arq`. */
  readonly ARQON_CALLED_AS?: string | undefined;
  /** The value is `exec` below npx. */
  readonly npm_command?: string | undefined;
}

/** Names of the `CalledBy` variables, for code that asks for permission to read them. */
export const CALLED_BY_VARIABLES = ["ARQON_CALLED_AS", "npm_command"] as const;

/** Text that can be suggested: shell words on one line. */
const WORDS = /^[A-Za-z0-9 ._@/:\\-]{1,200}$/;

/** The words for suggestions: `arq`, `npx arq`. `is_checkout` means our sources, run by their task. */
export function calledAs(by: CalledBy, is_checkout: boolean): string {
  const { ARQON_CALLED_AS = "", npm_command } = by;
  if (WORDS.test(ARQON_CALLED_AS)) return ARQON_CALLED_AS;
  if (!is_checkout) return "arq";
  return `${npm_command === "exec" ? "npx -y " : ""}deno task -q arq`;
}
