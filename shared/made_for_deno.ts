/** The version of Deno for which this release was made; an older one lacks what servers need. */
export const MADE_FOR_DENO = "2.9.6";
