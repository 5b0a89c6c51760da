/**
 * ProtoJSON where protobuf-es deviates from the specification: a value is prepared for that decoder, along its
 * descriptor. Numbers keep all their digits until their type is known. Texts that only JavaScript accepts as a number,
 * day or duration are refused, as is a text with a duplicate member.
 */
import {
  type DescExtension,
  type DescField,
  type DescMessage,
  fromJson,
  fromJsonString,
  type JsonReadOptions,
  type JsonValue,
  type Message,
  type Registry,
  ScalarType,
} from "@bufbuild/protobuf";
import { EmptySchema, hasCustomJsonRepresentation, isWrapperDesc } from "@bufbuild/protobuf/wkt";
import { messageSteps, type MessageWork, valueSteps } from "./validate_table.ts";

/** A number as written in the text, which a double may not represent exactly. */
class Numeral {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  /** The nearest double; Infinity for numbers above all of them. */
  get nearest(): number {
    return Number(this.text);
  }
}

/** A number with sixteen digits or an exponent, which a double may not represent exactly. */
const WIDE = /(?:\d\.?){16}|\d[eE][+-]?\d/;
/** A number of JSON: sign, whole part, fraction, exponent. */
const NUMBER = /^(-?)(0|[1-9]\d*)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;
/** The digits of the largest integer of 64 bits. */
const INTEGER_DIGITS = 20;
/** The cost of visiting a value of a text in its written form. */
const LOOK_STEPS = 3;
/** The cost of a value of a Struct, which is a message. */
const PLAIN_STEPS = 4;
/** The cost of a map key in addition to its value: new keys, or numbers, cost as much as unknown names. */
const KEY_STEPS = 6;
/** The cost of an unknown name; of one in a checked text, which is parsed four times before a refusal names it. */
const NAME_STEPS = 5;
const CHECKED_NAME_STEPS = 20;
const BASE64 = /^[A-Za-z0-9+/_-]*(?:={0,2})$/;
const DURATION = /^-?\d+(?:\.\d{1,9})?s$/;
const WORDS: readonly string[] = ["NaN", "Infinity", "-Infinity"];
/** Types with a value that is written as null. */
const NULLS: readonly unknown[] = ["google.protobuf.Value", "google.protobuf.NullValue"];

type AnyField = DescField | DescExtension;
type Members = Record<string, unknown>;

/**
 * Parses a JSON text; wide numbers become `Numeral`s. If there is one, `spend` is first called with the cost of
 * visiting the text's `values`. Throws SyntaxError, and what `spend` throws.
 */
export function parseNumerals(text: string, values = 0, spend?: (steps: number) => void): unknown {
  if (!WIDE.test(text)) return JSON.parse(text);
  spend?.(LOOK_STEPS * values);
  const keep = (_: string, value: unknown, { source }: { source: string }) =>
    typeof value === "number" && WIDE.test(source) ? new Numeral(source) : value;
  return JSON.parse(text, keep as (key: string, value: unknown) => unknown);
}

/** An object of a text has a duplicate member. */
export class DuplicateMember extends Error {}

/** Throws `DuplicateMember` if an object of a JSON text has a duplicate member. */
function refuseDuplicates(text: string): void {
  try {
    fromJsonString(EmptySchema, `{"":${text}}`, { ignoreUnknownFields: true });
  } catch (error) {
    const { message } = error as Error;
    throw new DuplicateMember(
      message.replace(/^cannot decode message google\.protobuf\.Empty from /, ""),
    );
  }
}

/** How a value is decoded, and how its cost is charged. */
export interface ReadOptions extends Partial<JsonReadOptions> {
  readonly registry: Registry;
  readonly work: MessageWork;
  /** The whole text of the value, which is checked for duplicate members; absent: no check. */
  readonly checked?: string;
}

/**
 * Decodes a value of `parseNumerals`, which it changes. Throws an Error that names the problem, `DuplicateMember` and
 * `TooMuchWork`.
 */
export function readJson(desc: DescMessage, value: unknown, options: ReadOptions): Message {
  const ready = readyMessage(desc, value, options) as JsonValue;
  if (options.checked !== undefined) refuseDuplicates(options.checked);
  return fromJson(desc, ready, options);
}

/** Whether a parsed value is an object of the text. */
export function isMembers(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    !(value instanceof Numeral);
}

function wrong(what: AnyField | DescMessage, problem: string): Error {
  return new Error(`cannot decode ${what} from JSON: ${problem}`);
}

const quoted = (text: string) =>
  JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);

/** Sets a member, even one with a name like `__proto__`. */
function put(members: Members, name: string, value: unknown): void {
  const every = { value, writable: true, enumerable: true, configurable: true };
  Object.defineProperty(members, name, every);
}

const fields_by_name = new WeakMap<DescMessage, ReadonlyMap<string, DescField>>();

/** The fields of a message by both of their names. */
export const fieldsOf = (desc: DescMessage): ReadonlyMap<string, DescField> =>
  fields_by_name.getOrInsertComputed(
    desc,
    () => new Map(desc.fields.flatMap((one) => [[one.name, one], [one.jsonName, one]])),
  );

/** The extension of the message that a member's name in brackets names. */
export function extensionOf(
  desc: DescMessage,
  name: string,
  registry: Registry,
): DescExtension | undefined {
  const found = name.startsWith("[") ? registry.getExtension(name.slice(1, -1)) : undefined;
  return found?.extendee.typeName === desc.typeName ? found : undefined;
}

function readyMessage(desc: DescMessage, value: unknown, given: ReadOptions): unknown {
  given.work.spend(messageSteps(desc));
  if (hasCustomJsonRepresentation(desc)) return readyKnown(desc, value, given);
  if (value instanceof Numeral) return value.nearest;
  if (!isMembers(value)) return value;
  const fields = fieldsOf(desc);
  const names = Object.keys(value);
  given.work.spend(names.length);
  for (const name of names) {
    const field = fields.get(name) ?? extensionOf(desc, name, given.registry);
    if (field === undefined) {
      // The library passes over an extension of another message, as if it were known.
      if (name.startsWith("[") && given.ignoreUnknownFields !== true) {
        throw wrong(desc, `key ${quoted(name)} is unknown`);
      }
      given.work.spend(given.checked === undefined ? NAME_STEPS : CHECKED_NAME_STEPS);
      continue;
    }
    const before = value[name];
    if (before === null) {
      // The library would set an extension to its default.
      if (field.kind === "extension" && !NULLS.includes((field.message ?? field.enum)?.typeName)) {
        delete value[name];
      }
      continue;
    }
    const ready = readyField(field, before, given);
    if (ready !== before) put(value, name, ready);
  }
  return value;
}

/** Prepares a value of the `google.protobuf` types with a special JSON form. */
function readyKnown(desc: DescMessage, value: unknown, given: ReadOptions): unknown {
  if (isWrapperDesc(desc)) return readyScalar(desc.fields[0], desc.fields[0].scalar, value);
  switch (desc.typeName) {
    case "google.protobuf.Timestamp":
      if (typeof value === "string") refuseNoDay(desc, value);
      return value;
    case "google.protobuf.Duration":
      if (typeof value !== "string" || DURATION.test(value)) return value;
      throw wrong(desc, `${quoted(value)} is not a duration such as "1.5s"`);
    case "google.protobuf.Any":
      return readyAny(value, given);
    case "google.protobuf.Struct":
    case "google.protobuf.Value":
    case "google.protobuf.ListValue":
      return readyPlain(desc, value, given);
    default:
      return value;
  }
}

/** Refuses a day that its month does not have, and 24 o'clock: JavaScript reads them as the next day. */
function refuseNoDay(desc: DescMessage, text: string): void {
  const found = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):/.exec(text)?.map(Number);
  if (found === undefined) return;
  const [, year = 0, month = 0, day = 0, hour = 0] = found;
  // JavaScript reads the years 0 to 99 as 1900 to 1999; leap years repeat every 400 years.
  const days = new Date(Date.UTC(2000 + year % 400, month, 0)).getUTCDate();
  if (day > days || hour > 23) throw wrong(desc, `${quoted(text)} is not a valid time`);
}

function readyAny(value: unknown, given: ReadOptions): unknown {
  if (!isMembers(value)) return value;
  const url = value["@type"];
  if (typeof url !== "string") return value;
  const desc = given.registry.getMessage(url.slice(url.lastIndexOf("/") + 1));
  if (desc === undefined) return value;
  if (!hasCustomJsonRepresentation(desc)) return readyMessage(desc, value, given);
  if (Object.hasOwn(value, "value")) value.value = readyMessage(desc, value.value, given);
  return value;
}

/** Prepares a value inside of a Struct, where every number is a double. */
function readyPlain(desc: DescMessage, value: unknown, given: ReadOptions): unknown {
  given.work.spend(PLAIN_STEPS);
  if (value instanceof Numeral) {
    if (Number.isFinite(value.nearest)) return value.nearest;
    throw wrong(desc, `${quoted(value.text)} is beyond a double`);
  }
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length; at++) value[at] = readyPlain(desc, value[at], given);
  } else if (isMembers(value)) {
    for (const name of Object.keys(value)) {
      const ready = readyPlain(desc, value[name], given);
      if (ready !== value[name]) put(value, name, ready);
    }
  }
  return value;
}

function readyField(field: AnyField, value: unknown, given: ReadOptions): unknown {
  if (field.fieldKind === "list") {
    if (!Array.isArray(value)) return readyNumeral(value);
    given.work.spend(value.length * valueSteps(field));
    for (let at = 0; at < value.length; at++) value[at] = readyValue(field, value[at], given);
    return value;
  }
  if (field.fieldKind !== "map") return readyValue(field, value, given);
  if (!isMembers(value)) return readyNumeral(value);
  const is_number = field.mapKey !== ScalarType.STRING && field.mapKey !== ScalarType.BOOL;
  const keys = Object.keys(value);
  given.work.spend(keys.length * (KEY_STEPS + valueSteps(field)));
  for (const key of keys) {
    if (is_number && !/^-?\d+$/.test(key)) {
      throw wrong(field, `the key ${quoted(key)} is not an integer`);
    }
    const ready = readyValue(field, value[key], given);
    if (ready !== value[key]) put(value, key, ready);
  }
  return value;
}

const readyNumeral = (value: unknown) => value instanceof Numeral ? value.nearest : value;

/** Prepares one value: of a field, of an element of a list, or of a map's entry. */
function readyValue(field: AnyField, value: unknown, given: ReadOptions): unknown {
  if (field.message !== undefined) return readyMessage(field.message, value, given);
  if (field.scalar !== undefined) return readyScalar(field, field.scalar, value);
  return readyNumeral(value);
}

function readyScalar(field: AnyField, type: ScalarType, value: unknown): unknown {
  const text = value instanceof Numeral
    ? value.text
    : typeof value === "string"
    ? value
    : undefined;
  if (text === undefined) return value;
  switch (type) {
    case ScalarType.STRING:
    case ScalarType.BOOL:
      return readyNumeral(value);
    case ScalarType.BYTES:
      if (value instanceof Numeral || isBase64(text)) return readyNumeral(value);
      throw wrong(field, `${quoted(text)} is not base64`);
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      if (value !== text || !WORDS.includes(text)) return finite(field, text);
      return value;
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.SINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return integerText(field, text);
    default:
      return Number(integerText(field, text));
  }
}

function isBase64(text: string): boolean {
  return BASE64.test(text) && (!text.endsWith("=") || text.length % 4 === 0);
}

function finite(field: AnyField, text: string): number {
  if (!NUMBER.test(text)) throw wrong(field, `${quoted(text)} is not a number`);
  const number = Number(text);
  if (Number.isFinite(number)) return number;
  throw wrong(field, `${quoted(text)} is out of range`);
}

/** An integer as plain digits, from any form of a number, including `1e2` and `1.0`. */
function integerText(field: AnyField, text: string): string {
  const [, sign = "", whole = "", fraction = "", exponent = "0"] = NUMBER.exec(text) ?? [];
  if (whole === "") throw wrong(field, `${quoted(text)} is not a number`);
  const digits = (whole + fraction).replace(/^0+/, "");
  const bare = digits.replace(/0+$/, "");
  if (bare === "") return "0";
  const zeros = Number(exponent) - fraction.length + digits.length - bare.length;
  if (zeros < 0) throw wrong(field, `${quoted(text)} is not an integer`);
  if (bare.length + zeros > INTEGER_DIGITS) throw wrong(field, `${quoted(text)} is out of range`);
  return `${sign}${bare}${"0".repeat(zeros)}`;
}
