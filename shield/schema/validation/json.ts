/**
 * Checks the ProtoJSON form. A good text costs one decoding; only when that fails, the value is
 * searched field by field to say where it is wrong. Knows no rules: it hands the decoded message on.
 */
import type { DescMessage, Message, Registry } from "@bufbuild/protobuf";
import { errorText, JsonSearch } from "./json_search.ts";
import { parseNumerals, readJson, refuseDuplicates } from "./protojson.ts";
import type { RequiredFields } from "./required.ts";
import { Findings } from "./validate_findings.ts";
import type { SchemaLimits, UnknownFields, Validation } from "./validate_types.ts";

/** What checking a text needs of its message type. */
export interface JsonContext {
  readonly desc: DescMessage;
  readonly registry: Registry;
  /**
   * The finder of missing required fields; undefined where no type that the message reaches has any.
   */
  readonly required: RequiredFields | undefined;
  readonly limits: SchemaLimits;
}

/** The findings, and the message when nothing is wrong with its form. */
export interface JsonValidation {
  readonly validation: Validation;
  readonly message: Message | undefined;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Whether objects and arrays are nested deeper than `most`; strings are skipped. */
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

/** Decodes a text. Throws an Error that says what is wrong. */
function decode(context: JsonContext, text: string, ignoreUnknownFields: boolean): Message {
  const { registry, limits } = context;
  const value = parseNumerals(text);
  refuseDuplicates(text);
  const options = { registry, ignoreUnknownFields, recursionLimit: limits.depth };
  return readJson(context.desc, value, options);
}

/** Decodes leniently, and searches for what made the strict decoding fail with `tripped`. */
function search(
  context: JsonContext,
  text: string,
  findings: Findings,
  tripped: string,
): Message | undefined {
  let value: unknown;
  try {
    value = parseNumerals(text);
  } catch (error) {
    if (findings.count()) findings.describe("", "json", `this is not JSON: ${errorText(error)}`);
    return undefined;
  }
  new JsonSearch(context.registry, findings, context.limits).message(context.desc, value, "");
  if (findings.total > 0) return undefined;
  try {
    const message = decode(context, text, true);
    // A search that ended early may not have come to the unknown field, which must not pass.
    if (findings.mode !== "refuse") return message;
  } catch (error) {
    tripped = errorText(error);
  }
  if (findings.count()) findings.describe("", "json", tripped);
  return undefined;
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
  const string = utf8(text);
  if (string === undefined) return refuse("utf8", "the text is not valid UTF-8");
  // Each message may be inside a list or a map.
  const most = 2 * limits.depth;
  if (isNestedBeyond(text, most)) return refuse("depth", `JSON is nested more than ${most} deep`);
  let message: Message | undefined;
  try {
    message = decode(context, string, false);
  } catch (error) {
    message = search(context, string, findings, errorText(error));
  }
  if (message !== undefined) required?.report(context.desc, message, findings);
  const validation = findings.result();
  return { validation, message: validation.total === 0 ? message : undefined };
}
