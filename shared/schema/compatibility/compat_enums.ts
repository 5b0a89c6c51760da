/**
 * Two versions of one enum: added and removed values, changed numbers or names, aliases, open against closed, and the
 * value of absent fields.
 */
import type { DescEnum } from "@bufbuild/protobuf";
import { type Comparison, READS, typePlace } from "./compat_comparison.ts";
import {
  compareReservations,
  type Reservations,
  reservationsOf,
  reservesNumber,
} from "./compat_reserved.ts";

/** The values of an enum: names by number (aliases share one) and the number of each name. */
interface Values {
  readonly names: ReadonlyMap<number, readonly string[]>;
  readonly numbers: ReadonlyMap<string, number>;
}

function valuesOf({ values }: DescEnum): Values {
  const names = new Map<number, string[]>();
  for (const { name, number } of values) {
    const known = names.get(number);
    if (known === undefined) names.set(number, [name]);
    else known.push(name);
  }
  return { names, numbers: new Map(values.map(({ name, number }) => [name, number])) };
}

function lostBy(reader: string, number: number, data: "older" | "newer"): string {
  return `${reader}'s closed enum drops ${number} from ${data} data, and refuses a message ` +
    "in which a required field has it";
}

function reportGone(
  comparison: Comparison,
  to: DescEnum,
  number: number,
  names: readonly string[],
  is: Values,
  reserved: Reservations,
): void {
  const is_reserved = reservesNumber(reserved, number);
  const is_lost = comparison.isClosed("to", to) && comparison.directions.backward;
  const safe = is_reserved && !is_lost;
  const [first = ""] = names;
  const moved = names.find((name) => is.numbers.has(name));
  if (moved !== undefined) {
    const detail = `had the number ${number}, has ${is.numbers.get(moved)}` +
      (is_reserved ? "" : `, and ${number} is not reserved`) +
      (is_lost ? `; ${lostBy("the newer version", number, "older")}` : "");
    const place = typePlace(to, moved);
    comparison.report(safe ? "warning" : "error", "enum-value-renumbered", place, detail);
    return;
  }
  const place = typePlace(to, first);
  if (!is_reserved) {
    const detail = `is gone and its number ${number} is not reserved`;
    comparison.report("error", "enum-value-removed", place, detail);
  } else if (is_lost) {
    const detail = `is gone; ${lostBy("the newer version", number, "older")}`;
    comparison.report("error", "enum-value-removed", place, detail);
  } else if (!names.every((name) => reserved.names.has(name))) {
    const detail = "is gone and its name is not reserved, which JSON goes by";
    comparison.report("warning", "enum-value-removed", place, detail);
  }
}

function reportNames(
  comparison: Comparison,
  to: DescEnum,
  number: number,
  old_names: readonly string[],
  was: Values,
  is: Values,
): void {
  const names = is.names.get(number) ?? [];
  const lost = old_names.filter((name) => !names.includes(name));
  const came = names.filter((name) => !old_names.includes(name));
  const [first = ""] = names;
  const foreign = came.find((name) => was.numbers.has(name));
  const left = lost.find((name) => is.numbers.has(name));
  if (foreign !== undefined || left !== undefined) {
    const name = foreign ?? first;
    const detail = `the number ${number} was ${old_names.join(", ")}, is ${names.join(", ")}; ` +
      `${foreign ?? left} had or has another number, so values change their meaning`;
    comparison.report("error", "enum-value-reused", typePlace(to, name), detail);
  } else if (lost.length === old_names.length) {
    const detail = `the value ${number} was named ${lost.join(", ")}; JSON goes by the name`;
    comparison.report("warning", "enum-value-renamed", typePlace(to, first), detail);
  } else if (lost.length > 0) {
    const detail = `the value ${number} is no longer named ${lost.join(", ")} too; JSON goes by it`;
    comparison.report("warning", "enum-alias-removed", typePlace(to, first), detail);
  }
}

function compareKind(comparison: Comparison, from: DescEnum, to: DescEnum): void {
  if (from.open === to.open) return;
  const closed = { ok: false, note: "drops numbers that the closed enum does not name" };
  const [change, backward, forward] = to.open
    ? ["was closed, is open", READS, closed] as const
    : ["was open, is closed", closed, READS] as const;
  comparison.reportReadings("enum-kind-changed", typePlace(to), change, backward, forward);
}

function compareFirst(comparison: Comparison, from: DescEnum, to: DescEnum): void {
  const was = from.values[0];
  const is = to.values[0];
  if (was === undefined || is === undefined || was.number === is.number) return;
  const detail = `the first value was ${was.name} = ${was.number}, is ${is.name} = ${is.number}; ` +
    `absent fields change their value`;
  comparison.report("error", "enum-default-changed", typePlace(to, is.name), detail);
}

/** Compares two versions of an enum and reports. */
export function compareEnums(comparison: Comparison, from: DescEnum, to: DescEnum): void {
  const was = valuesOf(from);
  const is = valuesOf(to);
  const reserved = reservationsOf(to);
  for (const [number, names] of was.names) {
    if (is.names.has(number)) reportNames(comparison, to, number, names, was, is);
    else reportGone(comparison, to, number, names, is, reserved);
  }
  if (comparison.isClosed("from", from) && comparison.directions.forward) {
    for (const [number, [name = ""]] of is.names) {
      if (was.names.has(number)) continue;
      const detail = `is new; ${lostBy("the older version", number, "newer")}`;
      comparison.report("error", "enum-value-added", typePlace(to, name), detail);
    }
  }
  compareReservations(comparison, from, to, to.values);
  compareKind(comparison, from, to);
  compareFirst(comparison, from, to);
}
