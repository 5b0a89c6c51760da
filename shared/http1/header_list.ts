/**
 * Headers that are lists (RFC 9110, 5.6.1): white space around items is optional, empty items do not
 * count, and several lines are one list. Not quoted strings: the lists of a handshake have tokens.
 */

/** What a token is made of (RFC 9110, 5.6.2). */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** The items of a header that is a list, in their order. */
export function headerItems(value: string | null): string[] {
  if (value === null) return [];
  return value.split(",").map((item) => item.replace(/^[ \t]+|[ \t]+$/g, ""))
    .filter((item) => item !== "");
}

/**
 * Whether the list has this item, which is given in lower case; the case of the list's items does not
 * count.
 */
export function hasItem(value: string | null, wanted: string): boolean {
  return headerItems(value).some((item) => item.toLowerCase() === wanted);
}

/** Whether the text is a token, as every item of these lists must be. */
export function isToken(item: string): boolean {
  return TOKEN.test(item);
}
