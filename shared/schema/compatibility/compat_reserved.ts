/**
 * Reservations: numbers and names that a message or enum must never use again. The same rules for both; removals
 * without a reservation are reported elsewhere.
 */
import type { DescEnum, DescMessage } from "@bufbuild/protobuf";
import { type Comparison, typePlace } from "./compat_comparison.ts";
import {
  formatRanges,
  inRanges,
  mergeRanges,
  type NumberRange,
  subtractRanges,
} from "./number_ranges.ts";

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
  const names = gone.slice(0, 10).join(", ") + (gone.length > 10 ? ", …" : "");
  const detail = `the names ${names} are no longer reserved`;
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
