// Whole numbers in decimal: what commands bring and values hold.
import { reject } from "./guest.ts";

/** A whole number of at most 18 digits, perhaps with a minus. Anything else is rejected with 400. */
export function wholeNumber(text: string): i64 {
  const negative = text.length > 0 && text.charCodeAt(0) == 0x2D;
  const first = negative ? 1 : 0;
  const digits = text.length - first;
  if (digits < 1 || digits > 18) reject("expected a whole number of at most 18 digits", 400);
  let value: i64 = 0;
  for (let at = first; at < text.length; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) reject("expected a whole number of at most 18 digits", 400);
    value = value * 10 + digit;
  }
  return negative ? -value : value;
}
