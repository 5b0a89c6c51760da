/**
 * Reservations: numbers and names that a message or enum must never use again, with their numbers as sorted ranges:
 * they can cover half a billion numbers, so nothing counts them one by one. Removals without a reservation are
 * reported elsewhere.
 */
import type { DescEnum, DescMessage } from "@bufbuild/protobuf";
import { type Comparison, typePlace } from "./compat_comparison.ts";

/** The reservations of a message or enum. */
export interface Reservations {
  readonly numbers: readonly NumberRange[];
  readonly names: ReadonlySet<string>;
}

/** The reservations of a type; those of an enum, whose ranges include their end, in the form of a message's. */
export function reservationsOf(type: DescMessage | DescEnum): Reservations {
  const numbers = type.kind === "message"
    ? type.proto.reservedRange
    : type.proto.reservedRange.map(({ start, end }) => ({ start, end: end + 1 }));
  return { numbers: mergeRanges(numbers), names: new Set(type.proto.reservedName) };
}

/** Whether a number is reserved. */
export function reservesNumber({ numbers }: Reservations, number: number): boolean {
  return inRanges(numbers, number);
}

/** A field or enum value, as far as reservations need it. */
interface Numbered {
  readonly name: string;
  readonly number: number;
}

function compareNumbers(
  comparison: Comparison,
  from: Reservations,
  to: Reservations,
  type: DescMessage | DescEnum,
  members: readonly Numbered[],
): void {
  for (const { name, number } of members) {
    if (!inRanges(from.numbers, number)) continue;
    const detail = `uses the number ${number}, which the earlier version reserves`;
    comparison.report("error", "reserved-number-reused", typePlace(type, name), detail);
  }
  const used = mergeRanges(members.map(({ number }) => ({ start: number, end: number + 1 })));
  const gone = subtractRanges(subtractRanges(from.numbers, to.numbers), used);
  if (gone.length === 0) return;
  const detail = `the numbers ${formatRanges(gone)} are no longer reserved`;
  comparison.report("error", "reservation-removed", typePlace(type), detail);
}

function compareNames(
  comparison: Comparison,
  from: Reservations,
  to: Reservations,
  type: DescMessage | DescEnum,
  members: readonly Numbered[],
): void {
  const used = new Set(members.map(({ name }) => name));
  const gone: string[] = [];
  for (const name of from.names) {
    if (used.has(name)) {
      const detail = "uses a name that the earlier version reserves";
      comparison.report("error", "reserved-name-reused", typePlace(type, name), detail);
    } else if (!to.names.has(name)) gone.push(name);
  }
  if (gone.length === 0) return;
  const detail = `the names ${formatNames(gone)} are no longer reserved`;
  comparison.report("error", "reservation-removed", typePlace(type), detail);
}

/** Reports reservations of `from` that `to` uses or drops; `members` are the fields or values of `to`. */
export function compareReservations(
  comparison: Comparison,
  from: DescMessage | DescEnum,
  to: DescMessage | DescEnum,
  members: readonly Numbered[],
): void {
  const was = reservationsOf(from);
  const is = reservationsOf(to);
  compareNumbers(comparison, was, is, to, members);
  compareNames(comparison, was, is, to, members);
}

/** Numbers from `start` up to but without `end`. */
export interface NumberRange {
  readonly start: number;
  readonly end: number;
}

/** The highest number a field may have. */
export const FIELD_NUMBER_MAX = 536_870_911;

/** Sorts and merges ranges. The other functions accept only such lists. */
export function mergeRanges(ranges: Iterable<NumberRange>): NumberRange[] {
  const sorted = [...ranges].filter(({ start, end }) => start < end)
    .sort((a, b) => a.start - b.start);
  const merged: { start: number; end: number }[] = [];
  for (const { start, end } of sorted) {
    const last = merged.at(-1);
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end);
    else merged.push({ start, end });
  }
  return merged;
}

/** Whether a number is in one of the merged ranges. */
export function inRanges(merged: readonly NumberRange[], number: number): boolean {
  let low = 0;
  let high = merged.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((merged[middle]?.end ?? Infinity) <= number) low = middle + 1;
    else high = middle;
  }
  return (merged[low]?.start ?? Infinity) <= number;
}

/** The numbers of `from` that are not in `minus`; both merged. */
export function subtractRanges(
  from: readonly NumberRange[],
  minus: readonly NumberRange[],
): NumberRange[] {
  const left: NumberRange[] = [];
  let index = 0;
  for (const { start, end } of from) {
    let at = start;
    while ((minus[index]?.end ?? Infinity) <= at) index++;
    for (let probe = index; at < end; probe++) {
      const next = minus[probe];
      if (next === undefined || next.start >= end) {
        left.push({ start: at, end });
        break;
      }
      if (next.start > at) left.push({ start: at, end: next.start });
      at = Math.max(at, next.end);
    }
  }
  return left;
}

/** The names; at most ten. */
export const formatNames = (names: readonly string[]): string =>
  names.slice(0, 10).join(", ") + (names.length > 10 ? ", …" : "");

/** The ranges in the syntax of a `.proto` file: `3, 5 to 9, 1000 to max`; at most ten. */
export function formatRanges(ranges: readonly NumberRange[]): string {
  const shown = ranges.slice(0, 10).map(({ start, end }) => {
    if (end === start + 1) return String(start);
    return `${start} to ${end > FIELD_NUMBER_MAX ? "max" : end - 1}`;
  });
  return shown.join(", ") + (ranges.length > shown.length ? ", …" : "");
}
