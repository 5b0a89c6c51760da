/**
 * Two versions of one message: added, removed, moved and changed fields, reservations, extension ranges, oneofs. Each
 * message is compared once, where it is declared.
 */
import { type DescField, type DescMessage, type DescOneof, ScalarType } from "@bufbuild/protobuf";
import { fieldPlace, isClosedIn, READS, reportKind, typePlace } from "./compat_comparison.ts";
import type { Comparison, Place, Reading } from "./compat_comparison.ts";
import {
  compareReservations,
  formatRanges,
  inRanges,
  mergeRanges,
  reservationsOf,
  reservesNumber,
  subtractRanges,
} from "./compat_reserved.ts";
import type { Reservations } from "./compat_reserved.ts";
import { FeatureSet_FieldPresence as Presence } from "@bufbuild/protobuf/wkt";
import { type AnyField, compareFieldTypes, type FieldPair } from "./compat_values.ts";

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

function reportRemoved(
  comparison: Comparison,
  field: DescField,
  to: DescMessage,
  reserved: Reservations,
): void {
  const place = typePlace(to, field.name);
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
    if (isRequired(field)) {
      const detail = "was required and is gone; the older version refuses data without it";
      const place = typePlace(to, field.name);
      comparison.report("error", "required-field-removed", place, detail);
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
  const old_names = new Set(from.oneofs.map(({ name }) => name));
  const new_names = new Set(to.oneofs.map(({ name }) => name));
  for (const oneof of from.oneofs) {
    if (new_names.has(oneof.name)) continue;
    const members = sharedMembers(oneof, sides.to);
    const target = sides.to.get(members[0] ?? 0)?.oneof;
    if (target === undefined || old_names.has(target.name)) continue;
    const others = new Set(sharedMembers(target, sides.from));
    if (others.size !== members.length || !members.every((n) => others.has(n))) continue;
    names.set(oneof.name, target.name);
  }
  return names;
}

/** Rivals that a finding names. */
const RIVALS_SHOWN = 5;

/**
 * The members of a oneof that a writer has too, by the oneof that they are in there; of each group as many as a finding
 * may need. Found once for all its members, of which there may be thousands.
 */
type Groups = ReadonlyMap<DescOneof | undefined, readonly DescField[]>;

function groupsOf(oneof: DescOneof, written: ReadonlyMap<number, DescField>): Groups {
  const groups = new Map<DescOneof | undefined, DescField[]>();
  for (const field of oneof.fields) {
    const rival = written.get(field.number);
    if (rival === undefined) continue;
    const group = groups.getOrInsertComputed(rival.oneof, () => []);
    // One more, as a field is no rival of itself.
    if (group.length <= RIVALS_SHOWN) group.push(field);
  }
  return groups;
}

/** Gives how a reader with a field in a oneof reads data of a writer without that. */
function oneofReader(
  read: ReadonlyMap<number, DescField>,
  written: ReadonlyMap<number, DescField>,
): (field: DescField) => Reading {
  const known = new Map<DescOneof, Groups>();
  return ({ number, name }) => {
    const oneof = read.get(number)?.oneof;
    if (oneof === undefined) return READS;
    const own = written.get(number)?.oneof;
    const rivals: DescField[] = [];
    for (
      const [group, fields] of known.getOrInsertComputed(oneof, () => groupsOf(oneof, written))
    ) {
      if (own !== undefined && group === own) continue;
      rivals.push(...fields.filter((field) => field.number !== number));
      if (rivals.length >= RIVALS_SHOWN) break;
    }
    if (rivals.length === 0) return READS;
    const names = rivals.slice(0, RIVALS_SHOWN).map((rival) => rival.name).join(", ");
    return { ok: false, note: `keeps only one where data has ${name} besides ${names}` };
  };
}

const nameOf = (oneof: DescOneof | undefined) =>
  oneof === undefined ? "in no oneof" : `in oneof ${oneof.name}`;

/** Reports the fields whose oneof changed: errors if a reader loses one of two values. */
function compareOneofs(
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
  const readBackward = oneofReader(sides.to, sides.from);
  const readForward = oneofReader(sides.from, sides.to);
  for (const field of from.fields) {
    const counterpart = sides.to.get(field.number);
    if (counterpart === undefined) continue;
    const was = field.oneof === undefined ? undefined : renamed.get(field.oneof.name);
    if ((was ?? field.oneof?.name) === counterpart.oneof?.name) continue;
    const change = `was ${nameOf(field.oneof)}, is ${nameOf(counterpart.oneof)}`;
    const noted = (reading: Reading): Reading =>
      reading.ok ? { ok: true, note: "keeps every value; programs see another form" } : reading;
    const place = fieldPlace(counterpart);
    comparison.reportReadings(
      "oneof-changed",
      place,
      change,
      noted(readBackward(counterpart)),
      noted(readForward(field)),
    );
  }
}

type UnknownField = { readonly no: number; readonly data: Uint8Array };

/** Field number of protovalidate's rules in every kind of options. */
const VALIDATION_RULES = 1159;

/** Parts of descriptors that may have protovalidate rules. */
interface WithOptions {
  readonly options?:
    | { readonly $unknown?: readonly UnknownField[] | undefined }
    | undefined;
}

function validationRules({ options }: WithOptions): string {
  const rules = options?.$unknown?.filter(({ no }) => no === VALIDATION_RULES) ?? [];
  return rules.map(({ data }) => data.join()).join(";");
}

/** Warns if the protovalidate rules of two parts differ; stricter ones refuse older data. */
function compareValidationRules(
  comparison: Comparison,
  from: WithOptions,
  to: WithOptions,
  place: Place,
): void {
  if (validationRules(from) === validationRules(to)) return;
  const detail = "the protovalidate rules changed; tighter ones refuse data that was good before";
  comparison.report("warning", "validation-rules-changed", place, detail);
}

const isRequired = (field: AnyField) => field.presence === Presence.LEGACY_REQUIRED;

function compareRequired({ comparison, from, to, place }: FieldPair): void {
  if (isRequired(from) === isRequired(to)) return;
  const wrong = { ok: false, note: "refuses data without the field" };
  const fine = { ok: true, note: "takes data with or without it" };
  if (isRequired(to)) {
    comparison.reportReadings("required-changed", place, "is now required", wrong, fine);
  } else {
    comparison.reportReadings("required-changed", place, "is no longer required", fine, wrong);
  }
}

function comparePresence({ comparison, from, to, place }: FieldPair): void {
  const singular = [from, to].every(({ fieldKind }) =>
    fieldKind === "scalar" || fieldKind === "enum"
  );
  if (!singular || from.oneof !== undefined || to.oneof !== undefined) return;
  if (isRequired(from) || isRequired(to) || from.presence === to.presence) return;
  const vague = { ok: true, note: "cannot tell a zero from an absent field" };
  const [change, backward, forward] = to.presence === Presence.IMPLICIT
    ? ["no longer tracks presence", vague, READS] as const
    : ["now tracks presence", READS, vague] as const;
  comparison.reportReadings("field-presence-changed", place, change, backward, forward);
}

/** The value that a reader assumes for an absent field, as text. */
function effectiveDefault(field: AnyField): string | undefined {
  if (field.fieldKind === "enum") {
    return String(field.getDefaultValue() ?? field.enum.values[0]?.number ?? 0);
  }
  if (field.fieldKind !== "scalar") return undefined;
  const value = field.getDefaultValue();
  if (value instanceof Uint8Array) return value.length === 0 ? "" : field.proto.defaultValue;
  if (value !== undefined) return String(value);
  switch (field.scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return "";
    case ScalarType.BOOL:
      return "false";
    default:
      return "0";
  }
}

function compareDefaults({ comparison, from, to, place }: FieldPair): void {
  // A field without its own default has its type's: the rules for enums cover the default of one enum.
  const is_own = from.proto.defaultValue !== "" || to.proto.defaultValue !== "";
  if (!is_own && from.enum?.typeName === to.enum?.typeName) return;
  const was = effectiveDefault(from);
  const is = effectiveDefault(to);
  if (was === undefined || is === undefined || was === is) return;
  const shown = (text: string) => JSON.stringify(text.slice(0, 80));
  const detail = `the default was ${shown(was)}, is ${shown(is)}; absent fields change their value`;
  comparison.report("error", "field-default-changed", place, detail);
}

/** An enum of one kind, whose fields moved to or from proto2; one of another kind is reported where it is declared. */
function compareClosed({ comparison, from, to, place }: FieldPair): void {
  if (from.enum === undefined || from.enum.open !== to.enum?.open) return;
  if (!comparison.sameType(from.enum, to.enum)) return;
  reportKind(comparison, place, !isClosedIn(from, from.enum), !isClosedIn(to, to.enum));
}

function compareUtf8({ comparison, from, to, place }: FieldPair): void {
  const strings = [from, to].every(({ scalar }) => scalar === ScalarType.STRING);
  if (!strings || from.utf8Validation === to.utf8Validation) return;
  const strict = { ok: true, note: "refuses values that are not UTF-8" };
  const [change, backward, forward] = to.utf8Validation
    ? ["is now checked for UTF-8", strict, READS] as const
    : ["is no longer checked for UTF-8", READS, strict] as const;
  comparison.reportReadings("utf8-check-changed", place, change, backward, forward);
}

function compareJsonNames({ comparison, from, to, place }: FieldPair): void {
  if (from.kind === "extension" || from.jsonName === to.jsonName) return;
  const detail = `the JSON name was ${JSON.stringify(from.jsonName)}, is ` +
    `${JSON.stringify(to.jsonName)}; JSON with the one is unknown to a reader with the other`;
  comparison.report("warning", "json-name-changed", place, detail);
}

/** Compares two fields of one number in everything but their name and oneof. */
export function compareField(pair: FieldPair): void {
  compareRequired(pair);
  compareJsonNames(pair);
  if (compareFieldTypes(pair)) {
    comparePresence(pair);
    compareDefaults(pair);
    compareUtf8(pair);
    compareClosed(pair);
  }
  compareValidationRules(pair.comparison, pair.from.proto, pair.to.proto, pair.place);
}
