/**
 * Headers that are lists (RFC 9110, 5.6.1): white space around items is optional, empty items do not count, and several
 * lines are one list. No quoted strings: the lists of a handshake have tokens.
 */

/** The characters of a token (RFC 9110, 5.6.2). */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** The items of a list header, in order. */
export function headerItems(value: string | null): string[] {
  if (value === null) return [];
  return value.split(",").map((item) => item.replace(/^[ \t]+|[ \t]+$/g, ""))
    .filter((item) => item !== "");
}

/** Whether the list has this item. `wanted` is in lower case; the list's case is ignored. */
export function hasItem(value: string | null, wanted: string): boolean {
  return headerItems(value).some((item) => item.toLowerCase() === wanted);
}

/** Whether the text is a token, as every item of these lists must be. */
export function isToken(item: string): boolean {
  return TOKEN.test(item);
}
