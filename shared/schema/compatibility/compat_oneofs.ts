/**
 * Fields that move into, out of and between oneofs. A reader keeps one member of a oneof, the last on the wire: data
 * with two of them loses one. `compat_messages.ts` has removed members.
 */
import type { DescField, DescMessage, DescOneof } from "@bufbuild/protobuf";
import { type Comparison, fieldPlace, type Reading, typePlace } from "./compat_comparison.ts";

/** Fields by number, on both sides. */
interface Sides {
  readonly from: ReadonlyMap<number, DescField>;
  readonly to: ReadonlyMap<number, DescField>;
}

/** The members of a oneof that the other side has too, by number. */
function sharedMembers(oneof: DescOneof, other: ReadonlyMap<number, DescField>): number[] {
  return oneof.fields.flatMap(({ number }) => other.has(number) ? [number] : []);
}

/** Old oneofs with a new name: the shared members are the same. */
function renamedOneofs(from: DescMessage, to: DescMessage, sides: Sides): Map<string, string> {
  const names = new Map<string, string>();
  for (const oneof of from.oneofs) {
    if (to.oneofs.some(({ name }) => name === oneof.name)) continue;
    const members = sharedMembers(oneof, sides.to);
    const target = sides.to.get(members[0] ?? 0)?.oneof;
    if (target === undefined || from.oneofs.some(({ name }) => name === target.name)) continue;
    const others = sharedMembers(target, sides.from);
    if (others.length !== members.length || !members.every((n) => others.includes(n))) continue;
    names.set(oneof.name, target.name);
  }
  return names;
}

/** How a reader with `field` in a oneof reads data of a writer without that. */
function readOneof(
  field: DescField,
  read: ReadonlyMap<number, DescField>,
  written: ReadonlyMap<number, DescField>,
): Reading {
  const own = written.get(field.number)?.oneof;
  const rivals = (read.get(field.number)?.oneof?.fields ?? []).filter(({ number }) => {
    const rival = written.get(number);
    if (number === field.number || rival === undefined) return false;
    return own === undefined || rival.oneof !== own;
  });
  if (rivals.length === 0) return { ok: true };
  const names = rivals.slice(0, 5).map(({ name }) => name).join(", ");
  return { ok: false, note: `keeps only one where data has ${field.name} besides ${names}` };
}

const nameOf = (oneof: DescOneof | undefined) =>
  oneof === undefined ? "in no oneof" : `in oneof ${oneof.name}`;

/** Reports the fields whose oneof changed: errors if a reader loses one of two values. */
export function compareOneofs(
  comparison: Comparison,
  from: DescMessage,
  to: DescMessage,
  sides: Sides,
): void {
  const renamed = renamedOneofs(from, to, sides);
  for (const [old_name, name] of renamed) {
    const detail = `oneof ${old_name} is now ${name}, with the same members`;
    comparison.report("warning", "oneof-renamed", typePlace(to, name), detail);
  }
  for (const field of from.fields) {
    const counterpart = sides.to.get(field.number);
    if (counterpart === undefined) continue;
    const was = field.oneof === undefined ? undefined : renamed.get(field.oneof.name);
    if ((was ?? field.oneof?.name) === counterpart.oneof?.name) continue;
    const change = `was ${nameOf(field.oneof)}, is ${nameOf(counterpart.oneof)}`;
    const backward = readOneof(counterpart, sides.to, sides.from);
    const forward = readOneof(field, sides.from, sides.to);
    const noted = (reading: Reading): Reading =>
      reading.ok ? { ok: true, note: "keeps every value; programs see another form" } : reading;
    const place = fieldPlace(counterpart);
    comparison.reportReadings("oneof-changed", place, change, noted(backward), noted(forward));
  }
}
