/** Figures, rows and verdicts as the reports of commands have them. Pure. */
import type { Decision } from "../replay/recorded_call.ts";
import { inColumns, linesText } from "../terminal/columns.ts";

/** A number with separators: `12,345`. */
export const count = (number: number): string => number.toLocaleString("en-US");
/** A number with three significant digits. */
export const figure = (number: number): string => String(Number(number.toPrecision(3)));
/** The latest time that a Date can hold. */
const DATE_MS_MAX = 8.64e15;
/** A time in Unix ms as UTC text. One beyond the range of Date, as a module's timer may be, stays a number. */
export const time = (at_ms: number): string =>
  Math.abs(at_ms) <= DATE_MS_MAX ? new Date(at_ms).toISOString() : String(at_ms);

/** A name and its text. */
export type Row = readonly [name: string, text: string];

/** Aligned rows; pairs without a text are left out. */
export function rows(pairs: readonly Row[]): string {
  const filled = pairs.filter(([, text]) => text !== "");
  return linesText(inColumns(filled), "  ");
}

/** `fuel 3, trap 1`, the most frequent first. */
export function countsText(counts: Readonly<Record<string, number>>): string {
  const sorted = Object.entries(counts).sort(([, one], [, other]) => other - one);
  const shown = sorted.slice(0, 8).map(([name, number]) => `${name} ${count(number)}`);
  const more = sorted.length > 8 ? `, and ${sorted.length - 8} more` : "";
  return shown.join(", ") + more;
}

/** The names of a module's log levels. */
export const LOG_LEVELS: readonly string[] = ["debug", "info", "warn", "error"];

/** The text of a number above 0; "" for 0. */
export const above = (number: number, text: string): string => number === 0 ? "" : text;

/** A verdict in a few words. */
export function shownVerdict({ allowed, fault, code, reason }: Decision): string {
  if (allowed) return "allowed";
  return fault !== null
    ? `fault ${fault}`
    : `${code}${reason === "" ? "" : ` ${JSON.stringify(reason)}`}`;
}
