/**
 * The check of the ProtoJSON form. A good text costs one decoding; only when that fails the value is
 * gone through field by field, to say where. Knows no rules: it hands the decoded message on.
 */
import {
  type DescMessage,
  fromJsonString,
  isFieldSet,
  type Message,
  type Registry,
} from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import { errorText, JsonSearch } from "./json_search.ts";
import { Findings } from "./validate_findings.ts";
import { joinPath, quoteKey } from "./validate_path.ts";
import type { MessageTable } from "./validate_table.ts";
import type { SchemaLimits, UnknownFields, Validation } from "./validate_types.ts";

/** What is known of the message that a text must be. */
export interface JsonContext {
  readonly desc: DescMessage;
  readonly registry: Registry;
  readonly table: MessageTable;
  readonly limits: SchemaLimits;
}

/** What was found, and the message when nothing is wrong with its form. */
export interface JsonValidation {
  readonly validation: Validation;
  readonly message: Message | undefined;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** How deep objects and arrays lie in one another; strings are passed over. */
function isNestedBeyond(text: Uint8Array, most: number): boolean {
  let depth = 0;
  let in_string = false;
  for (let at = 0; at < text.length; at++) {
    const byte = text[at]!;
    if (in_string) {
      if (byte === 0x5c) at++;
      else if (byte === 0x22) in_string = false;
    } else if (byte === 0x22) {
      in_string = true;
    } else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > most) return true;
    } else if (byte === 0x7d || byte === 0x5d) {
      depth--;
    }
  }
  return false;
}

function utf8(text: Uint8Array): string | undefined {
  try {
    return decoder.decode(text);
  } catch {
    return undefined;
  }
}

/** Throws what the decoder of protobuf-es throws. */
function decode(context: JsonContext, text: string, ignoreUnknownFields: boolean): Message {
  const { registry, limits } = context;
  const options = { registry, ignoreUnknownFields, recursionLimit: limits.depth };
  return fromJsonString(context.desc, text, options);
}

function reportMissing(message: ReflectMessage, path: string, findings: Findings): void {
  for (const field of message.fields) {
    const inner = joinPath(path, field.name);
    if (!isFieldSet(message.message, field)) {
      if (field.presence !== FeatureSet_FieldPresence.LEGACY_REQUIRED) continue;
      const what = `the required field ${field.name} of ${message.desc.typeName} is missing`;
      if (findings.count()) findings.describe(inner, "required", what);
    } else if (field.fieldKind === "message") {
      reportMissing(message.get(field), inner, findings);
    } else if (field.fieldKind === "list" && field.listKind === "message") {
      const elements = message.get(field) as Iterable<ReflectMessage>;
      let index = 0;
      for (const element of elements) reportMissing(element, `${inner}[${index++}]`, findings);
    } else if (field.fieldKind === "map" && field.mapKind === "message") {
      for (const [key, value] of message.get(field)) {
        const shown = typeof key === "string" ? quoteKey(key) : String(key);
        reportMissing(value as ReflectMessage, `${inner}[${shown}]`, findings);
      }
    }
  }
}

/** Decodes leniently and finds what the strict decoding tripped over, with `tripped`. */
function search(
  context: JsonContext,
  text: string,
  findings: Findings,
  tripped: string,
): Message | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (findings.count()) findings.describe("", "json", `this is not JSON: ${errorText(error)}`);
    return undefined;
  }
  new JsonSearch(context.registry, findings, context.limits).message(context.desc, value, "");
  if (findings.total > 0) return undefined;
  try {
    const message = decode(context, text, true);
    // A search that ended early has perhaps not come to the unknown field, which must not pass.
    if (findings.mode !== "refuse") return message;
  } catch (error) {
    tripped = errorText(error);
  }
  if (findings.count()) findings.describe("", "json", tripped);
  return undefined;
}

/** Throws nothing, whatever the text is. */
export function validateJsonText(
  context: JsonContext,
  text: Uint8Array,
  mode: UnknownFields,
): JsonValidation {
  const { limits, table } = context;
  const findings = new Findings(limits.violations);
  findings.reset(mode);
  const refuse = (rule: string, what: string): JsonValidation => {
    if (findings.count()) findings.describe("", rule, what);
    return { validation: findings.result(), message: undefined };
  };
  const string = utf8(text);
  if (string === undefined) return refuse("utf8", "the text is not valid UTF-8");
  // Each message may lie in a list or a map.
  const most = 2 * limits.depth;
  if (isNestedBeyond(text, most)) return refuse("depth", `JSON is nested more than ${most} deep`);
  let message: Message | undefined;
  try {
    message = decode(context, string, false);
  } catch (error) {
    message = search(context, string, findings, errorText(error));
  }
  if (message !== undefined && table.reaches_required) {
    reportMissing(reflect(context.desc, message), "", findings);
  }
  const validation = findings.result();
  return { validation, message: validation.total === 0 ? message : undefined };
}
