/**
 * Two versions of one message: added, removed, moved and changed fields, reservations, extension ranges. Each message
 * is compared once, where it is declared.
 */
import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence as Presence } from "@bufbuild/protobuf/wkt";
import { type Comparison, fieldPlace, typePlace } from "./compat_comparison.ts";
import { compareField, compareValidationRules } from "./compat_fields.ts";
import { compareOneofs } from "./compat_oneofs.ts";
import {
  compareReservations,
  type Reservations,
  reservationsOf,
  reservesNumber,
} from "./compat_reserved.ts";
import { formatRanges, inRanges, mergeRanges, subtractRanges } from "./number_ranges.ts";

/** The fields of a message by number and by name. */
interface Fields {
  readonly by_number: ReadonlyMap<number, DescField>;
  readonly by_name: ReadonlyMap<string, DescField>;
}

function fieldsOf(message: DescMessage): Fields {
  return {
    by_number: new Map(message.fields.map((field) => [field.number, field])),
    by_name: new Map(message.fields.map((field) => [field.name, field])),
  };
}

const isRequired = (field: DescField) => field.presence === Presence.LEGACY_REQUIRED;

function reportRemoved(
  comparison: Comparison,
  field: DescField,
  to: DescMessage,
  reserved: Reservations,
): void {
  const place = typePlace(to, field.name);
  if (isRequired(field)) {
    const detail = "was required and is gone; the older version refuses data without it";
    comparison.report("error", "required-field-removed", place, detail);
  }
  if (field.oneof !== undefined) {
    const detail = `is gone from oneof ${field.oneof.name}, which reads as empty where it was set`;
    comparison.report("warning", "oneof-member-removed", place, detail);
  }
  if (!reservesNumber(reserved, field.number)) {
    const detail = `is gone and its number ${field.number} is not reserved`;
    comparison.report("error", "field-removed", place, detail);
  } else if (!reserved.names.has(field.name)) {
    const detail = "is gone and its name is not reserved, which JSON goes by";
    comparison.report("warning", "field-removed", place, detail);
  }
}

function reportMoved(
  comparison: Comparison,
  from: DescField,
  to: DescField,
  reserved: Reservations,
): void {
  const safe = reservesNumber(reserved, from.number);
  const detail = `had the number ${from.number}, has ${to.number}` +
    (safe ? "; readers do not see each other's values" : `, and ${from.number} is not reserved`);
  comparison.report(safe ? "warning" : "error", "field-number-changed", fieldPlace(to), detail);
}

/** Reports one number under another name: a new name, or another field in its place. */
function compareNames(
  comparison: Comparison,
  from: DescField,
  to: DescField,
  was: Fields,
  is: Fields,
): void {
  if (from.name === to.name) return;
  if (was.by_name.has(to.name) || is.by_name.has(from.name)) {
    const detail = `has the number ${to.number}, which was field ${from.name}'s; both names are ` +
      `older than this change, so data would go from one field to the other`;
    comparison.report("error", "field-number-reused", fieldPlace(to), detail);
    return;
  }
  const detail = `field ${to.number} was named ${from.name}`;
  comparison.report("warning", "field-renamed", fieldPlace(to), detail);
}

function compareOldFields(
  comparison: Comparison,
  from: DescMessage,
  to: DescMessage,
  was: Fields,
  is: Fields,
): void {
  const reserved = reservationsOf(to);
  for (const field of from.fields) {
    const counterpart = is.by_number.get(field.number);
    if (counterpart !== undefined) {
      compareNames(comparison, field, counterpart, was, is);
      const place = fieldPlace(counterpart);
      compareField({ comparison, from: field, to: counterpart, place });
      continue;
    }
    const moved = is.by_name.get(field.name);
    if (moved === undefined) reportRemoved(comparison, field, to, reserved);
    else reportMoved(comparison, field, moved, reserved);
  }
}

function compareNewFields(
  comparison: Comparison,
  from: DescMessage,
  to: DescMessage,
  was: Fields,
): void {
  const offered = mergeRanges(from.proto.extensionRange);
  for (const field of to.fields) {
    if (was.by_number.has(field.number)) continue;
    if (isRequired(field)) {
      const detail = "is new and required; data of the older version lacks it";
      comparison.report("error", "required-field-added", fieldPlace(field), detail);
    }
    if (inRanges(offered, field.number)) {
      const detail = `has the number ${field.number}, which was left to extensions`;
      comparison.report("error", "extension-range-reused", fieldPlace(field), detail);
    }
  }
}

function compareExtensionRanges(comparison: Comparison, from: DescMessage, to: DescMessage): void {
  const used = to.fields.map(({ number }) => ({ start: number, end: number + 1 }));
  const kept = mergeRanges([...to.proto.extensionRange, ...used]);
  const gone = subtractRanges(mergeRanges(from.proto.extensionRange), kept);
  if (gone.length === 0) return;
  const open = subtractRanges(gone, reservationsOf(to).numbers);
  const severity = open.length === 0 ? "warning" : "error";
  const detail = `the numbers ${formatRanges(gone)} are no longer left to extensions` +
    (open.length === 0 ? "" : " and not reserved");
  comparison.report(severity, "extension-range-removed", typePlace(to), detail);
}

/** Compares two versions of a message and reports. */
export function compareMessages(comparison: Comparison, from: DescMessage, to: DescMessage): void {
  const was = fieldsOf(from);
  const is = fieldsOf(to);
  compareOldFields(comparison, from, to, was, is);
  compareNewFields(comparison, from, to, was);
  compareReservations(comparison, from, to, to.fields);
  compareExtensionRanges(comparison, from, to);
  compareOneofs(comparison, from, to, { from: was.by_number, to: is.by_number });
  const isSet = ({ proto }: DescMessage) => proto.options?.messageSetWireFormat === true;
  if (isSet(from) !== isSet(to)) {
    const detail = "changed to or from the MessageSet wire format";
    comparison.report("error", "message-set-changed", typePlace(to), detail);
  }
  compareValidationRules(comparison, from.proto, to.proto, typePlace(to));
}
