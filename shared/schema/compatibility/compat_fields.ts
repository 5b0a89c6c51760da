/**
 * Two fields, or two extensions, with the same number: their type, names, presence, default and rules.
 * `compat.ts` has additions, removals, reservations and oneofs.
 */
import { ScalarType } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence as Presence } from "@bufbuild/protobuf/wkt";
import { type AnyField, compareFieldTypes, type FieldPair } from "./compat_values.ts";
import { type Comparison, type Place, READS } from "./compat_comparison.ts";

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
export function compareValidationRules(
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
  }
  compareValidationRules(pair.comparison, pair.from.proto, pair.to.proto, pair.place);
}
