/**
 * Checks the ProtoJSON form. A valid text costs one decoding; only if that fails, the value is searched field by field
 * for the fault. It runs no rules and returns the decoded message.
 */
import { utf8OrUndefined } from "@arqon/proto";
import { extensionsOf, type MessageWork, TooMuchWork } from "./validate_table.ts";
import { getExtension, getOption, hasExtension, isFieldSet, ScalarType } from "@bufbuild/protobuf";
import type { DescExtension, DescField, DescMessage, Message, Registry } from "@bufbuild/protobuf";
import {
  DuplicateMember,
  extensionOf,
  fieldsOf,
  isMembers,
  parseNumerals,
  readJson,
} from "./protojson.ts";
import type { ReadOptions } from "./protojson.ts";
import { Findings, joinPath, quoteKey } from "./validate_findings.ts";
import type { SchemaLimits, UnknownFields, Validation } from "./validate_types.ts";
import { FeatureSet_FieldPresence, hasCustomJsonRepresentation } from "@bufbuild/protobuf/wkt";
import { field as field_option } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { withInner } from "./rules_collect.ts";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";

/** The parts that checking a text of a message type needs. */
interface JsonContext {
  readonly desc: DescMessage;
  readonly registry: Registry;
  /** The finder of missing required fields; undefined if no type that the message reaches has any. */
  readonly required: RequiredFields | undefined;
  readonly work: MessageWork;
  readonly limits: SchemaLimits;
}

/** The findings, and the message if its form is valid. */
interface JsonValidation {
  readonly validation: Validation;
  readonly message: Message | undefined;
}

/**
 * The approximate number of values in a text; undefined: objects and arrays are nested deeper than `most`. Strings are
 * skipped.
 */
function countValues(text: Uint8Array, most: number): number | undefined {
  let depth = 0;
  let values = 1;
  let in_string = false;
  for (let at = 0; at < text.length; at++) {
    const byte = text[at]!;
    if (in_string) {
      if (byte === 0x5c) at++;
      else if (byte === 0x22) in_string = false;
    } else if (byte === 0x22) {
      in_string = true;
    } else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > most) return undefined;
      values++;
    } else if (byte === 0x2c) {
      values++;
    } else if (byte === 0x7d || byte === 0x5d) {
      depth--;
    }
  }
  return values;
}

/** A text, and the approximate number of its values. */
interface JsonText {
  readonly text: string;
  readonly values: number;
}

/** Parses a text, after charging its cost. */
function parse({ work }: JsonContext, { text, values }: JsonText): unknown {
  work.begin();
  return parseNumerals(text, values, (steps) => work.spend(steps));
}

/** Decodes a value of `parse`. Throws an Error that names the problem. */
function decode(context: JsonContext, value: unknown, more: Partial<ReadOptions>): Message {
  const { registry, limits, work } = context;
  const options = { registry, work, recursionLimit: limits.depth, ...more };
  return readJson(context.desc, value, options);
}

/** Searches for the cause of a failed strict decoding, and decodes leniently if that helps. */
function search(
  context: JsonContext,
  text: JsonText,
  findings: Findings,
  tripped: unknown,
): Message | undefined {
  new JsonSearch(context, findings).message(context.desc, parse(context, text), "");
  if (findings.total > 0) return undefined;
  try {
    if (tripped instanceof DuplicateMember) throw tripped;
    const message = decode(context, parse(context, text), { ignoreUnknownFields: true });
    // A search that ended early may have missed an unknown field, which must not pass.
    if (findings.mode !== "refuse") return message;
  } catch (error) {
    if (error instanceof TooMuchWork) throw error;
    tripped = error;
  }
  if (findings.count()) findings.describe("", "json", errorText(tripped));
  return undefined;
}

/** Decodes strictly, else searches for faults; undefined: `findings` has them. Throws `TooMuchWork`. */
function read(context: JsonContext, text: JsonText, findings: Findings): Message | undefined {
  let value: unknown;
  try {
    value = parse(context, text);
  } catch (error) {
    if (error instanceof TooMuchWork) throw error;
    if (findings.count()) findings.describe("", "json", `this is not JSON: ${errorText(error)}`);
    return undefined;
  }
  try {
    return decode(context, value, { ignoreUnknownFields: false, checked: text.text });
  } catch (error) {
    if (error instanceof TooMuchWork) throw error;
    return search(context, text, findings, error);
  }
}

/** Checks a text. Throws nothing, whatever the text is. */
export function validateJsonText(
  context: JsonContext,
  text: Uint8Array,
  mode: UnknownFields,
): JsonValidation {
  const { limits, required } = context;
  const findings = new Findings(limits.violations);
  findings.reset(mode);
  const refuse = (rule: string, what: string): JsonValidation => {
    if (findings.count()) findings.describe("", rule, what);
    return { validation: findings.result(), message: undefined };
  };
  const string = utf8OrUndefined(text);
  if (string === undefined) return refuse("utf8", "the text is not valid UTF-8");
  // Each message may be inside a list or a map.
  const most = 2 * limits.depth;
  const values = countValues(text, most);
  if (values === undefined) return refuse("depth", `JSON is nested more than ${most} deep`);
  let message: Message | undefined;
  try {
    message = read(context, { text: string, values }, findings);
  } catch (error) {
    if (error instanceof TooMuchWork) return refuse("rule-cost", error.message);
    throw error;
  }
  if (message !== undefined) required?.report(context.desc, message, findings);
  const validation = findings.result();
  return { validation, message: validation.total === 0 ? message : undefined };
}

// Searches a JSON value along a descriptor, and reports unknown and wrong members. It is slower than decoding and runs
// only after that failed; each leaf is decoded alone.

/** The sentence of an error of the decoder. */
function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Whether the rules of the field allow only the defined values of its enum. */
function isDefinedOnly(field: DescField): boolean {
  if (field.enum === undefined) return false;
  for (const { type } of withInner(getOption(field, field_option))) {
    if (type.case === "enum" && type.value.definedOnly) return true;
  }
  return false;
}

/** The most leaves that are tried, so that a large text cannot delay others; one takes a few microseconds. */
const TRIALS = 4_000;

/**
 * One search. Findings go to the constructor's argument. The search ends early after enough violations or trials; then
 * counts are lower bounds.
 */
class JsonSearch {
  readonly #context: JsonContext;
  readonly #findings: Findings;
  readonly #depth: number;
  #trials = 0;

  constructor(context: JsonContext, findings: Findings) {
    this.#context = context;
    this.#findings = findings;
    this.#depth = context.limits.depth;
  }

  message(desc: DescMessage, value: unknown, path: string, depth = 0): void {
    if (depth >= this.#depth) {
      return this.#report(path, "depth", `messages are nested more than ${this.#depth} deep`);
    }
    if (hasCustomJsonRepresentation(desc) || !isMembers(value)) {
      return this.#try(desc, value, path);
    }
    const names = fieldsOf(desc);
    const seen = new Set<DescField>();
    for (const [key, inner] of Object.entries(value)) {
      if (this.#isOver()) return;
      const field = names.get(key);
      if (field === undefined) {
        this.#stranger(desc, key, inner, path);
        continue;
      }
      const inner_path = joinPath(path, field.name);
      if (seen.has(field)) {
        this.#report(inner_path, "json", `${desc.typeName}.${field.name} is set more than once`);
      }
      seen.add(field);
      this.#field(desc, field, key, inner, inner_path, depth);
    }
  }

  /** Handles a key that is not a field of the message: an extension, or unknown. */
  #stranger(desc: DescMessage, key: string, value: unknown, path: string): void {
    if (extensionOf(desc, key, this.#context.registry) !== undefined) {
      this.#try(desc, { [key]: value }, joinPath(path, key));
    } else if (this.#findings.countUnknown()) {
      const what = `key ${quoteKey(key)} is not in ${desc.typeName}`;
      this.#findings.nameUnknown(joinPath(path, key), what);
    }
  }

  #field(
    desc: DescMessage,
    field: DescField,
    key: string,
    value: unknown,
    path: string,
    depth: number,
  ): void {
    // As everywhere in ProtoJSON, null means the default; for a Value it is a value.
    if (value === null) {
      this.#try(desc, { [key]: value }, path);
    } else if (field.fieldKind === "message") {
      this.message(field.message, value, path, depth + 1);
    } else if (field.fieldKind === "list" && Array.isArray(value)) {
      if (field.listKind !== "message" && this.#fits(desc, { [key]: value })) return;
      for (let index = 0; index < value.length && !this.#isOver(); index++) {
        const at = `${path}[${index}]`;
        if (field.listKind === "message") this.message(field.message, value[index], at, depth + 1);
        else this.#try(desc, { [key]: [value[index]] }, at, field);
      }
    } else if (field.fieldKind === "map" && isMembers(value)) {
      if (field.mapKind !== "message" && this.#fits(desc, { [key]: value })) return;
      for (const [map_key, element] of Object.entries(value)) {
        if (this.#isOver()) return;
        const at = `${path}[${field.mapKey === ScalarType.STRING ? quoteKey(map_key) : map_key}]`;
        if (field.mapKind === "message") this.message(field.message, element, at, depth + 2);
        else this.#try(desc, { [key]: { [map_key]: element } }, at, field);
      }
    } else {
      this.#try(desc, { [key]: value }, path, field);
    }
  }

  /** Decodes a leaf alone: it is valid, unknown (such as an unknown name of an enum value), or invalid. */
  #try(desc: DescMessage, value: unknown, path: string, field?: DescField): void {
    const error = this.#error(desc, value, false);
    if (error === undefined) return;
    const lenient = this.#error(desc, value, true);
    if (lenient !== undefined) this.#report(path, "json", lenient);
    else if (field !== undefined && isDefinedOnly(field)) {
      this.#report(path, "enum.defined_only", error);
    } else if (this.#findings.countUnknown()) this.#findings.nameUnknown(path, error);
  }

  #fits(desc: DescMessage, value: unknown): boolean {
    return this.#error(desc, value, false) === undefined;
  }

  #isOver(): boolean {
    return this.#trials >= TRIALS || this.#findings.total >= this.#context.limits.violations;
  }

  #error(desc: DescMessage, value: unknown, ignoreUnknownFields: boolean): string | undefined {
    this.#trials++;
    try {
      const { registry, work } = this.#context;
      readJson(desc, value, { registry, work, ignoreUnknownFields, recursionLimit: this.#depth });
      return undefined;
    } catch (error) {
      if (!(error instanceof TooMuchWork)) return errorText(error);
      this.#trials = TRIALS;
      return undefined;
    }
  }

  #report(path: string, rule: string, message: string): void {
    if (this.#findings.count()) this.#findings.describe(path, rule, message);
  }
}

// Required fields of JSON, and of binary data with a message in several pieces, which only a reader merges. The wire
// walker finds all others.

/** Finds missing required fields in messages of one registry. */
export class RequiredFields {
  /** Extensions that are messages, by the type that they extend. */
  readonly #extensions: ReadonlyMap<string, readonly DescExtension[]>;

  constructor(registry: Registry) {
    this.#extensions = extensionsOf(registry);
  }

  /** Reports each required field that is missing, at any depth. */
  report(desc: DescMessage, message: Message, findings: Findings): void {
    this.#message(reflect(desc, message), "", findings);
  }

  #message(message: ReflectMessage, path: string, findings: Findings): void {
    for (const field of message.fields) {
      const inner = joinPath(path, field.name);
      if (!isFieldSet(message.message, field)) {
        if (field.presence !== FeatureSet_FieldPresence.LEGACY_REQUIRED) continue;
        const what = `the required field ${field.name} of ${message.desc.typeName} is missing`;
        if (findings.count()) findings.describe(inner, "required", what);
      } else if (field.fieldKind === "message") {
        this.#message(message.get(field), inner, findings);
      } else if (field.fieldKind === "list" && field.listKind === "message") {
        this.#list(message.get(field) as Iterable<ReflectMessage>, inner, findings);
      } else if (field.fieldKind === "map" && field.mapKind === "message") {
        for (const [key, value] of message.get(field)) {
          const shown = typeof key === "string" ? quoteKey(key) : String(key);
          this.#message(value as ReflectMessage, `${inner}[${shown}]`, findings);
        }
      }
    }
    for (const extension of this.#extensions.get(message.desc.typeName) ?? []) {
      if (extension.message === undefined || !hasExtension(message.message, extension)) continue;
      const inner = joinPath(path, `[${extension.typeName}]`);
      const value = getExtension(message.message, extension) as Message | Message[];
      const shown = (one: Message) => reflect(extension.message, one);
      if (Array.isArray(value)) this.#list(value.map(shown), inner, findings);
      else this.#message(shown(value), inner, findings);
    }
  }

  #list(elements: Iterable<ReflectMessage>, path: string, findings: Findings): void {
    let index = 0;
    for (const element of elements) this.#message(element, `${path}[${index++}]`, findings);
  }
}
