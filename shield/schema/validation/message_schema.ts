/**
 * A Protobuf message as a contract: `compileMessage` compiles a descriptor, and the result checks data. Binary data is
 * walked on the wire first; rules of protovalidate run only if the message has any. `gate.ts` and `cache.ts` handle
 * subjects and schemas.
 */
import { strictText } from "@arqon/proto";
import { type DescMessage, type FileRegistry, fromBinary } from "@bufbuild/protobuf";
import { dataView } from "./typed_fields.ts";
import { MessageWork, type TooMuchWork } from "./message_work.ts";
import { parseNumerals, readJson } from "./protojson.ts";
import { quoteName, SchemaError } from "../../../shared/schema/schema_error.ts";
import { validateJsonText } from "./json.ts";
import { RequiredFields } from "./required.ts";
import { compileRules, type MessageRules } from "./rules.ts";
import { Findings } from "./validate_findings.ts";
import { compileTable, type MessageTable } from "./validate_table.ts";
import {
  SCHEMA_LIMITS,
  type SchemaLimits,
  type ValidateOptions,
  type Validation,
} from "./validate_types.ts";
import { WireWalker } from "./validate_wire.ts";

export { SCHEMA_LIMITS, type SchemaLimits, type UnknownFields } from "./validate_types.ts";
export type { ValidateOptions, Validation, Violation } from "./validate_types.ts";

/** It is synchronous and never throws, for any data. */
export class MessageSchema {
  /** The full name of the message, such as `transit_realtime.FeedMessage`. */
  readonly type_name: string;
  /** Whether the message, or one inside it, has protovalidate rules. */
  readonly has_rules: boolean;
  /** Estimated bytes in memory, without descriptors. */
  readonly heap_bytes: number;
  readonly #table: MessageTable;
  readonly desc: DescMessage;
  readonly #registry: FileRegistry;
  readonly #rules: MessageRules | undefined;
  readonly #limits: SchemaLimits;
  readonly #walker: WireWalker;
  readonly #required: RequiredFields | undefined;
  readonly #work: MessageWork;

  constructor(registry: FileRegistry, desc: DescMessage, limits: SchemaLimits) {
    this.type_name = desc.typeName;
    this.#table = compileTable(registry, desc, limits);
    this.#rules = compileRules(registry, desc, limits);
    this.desc = this.#rules?.desc ?? desc;
    this.#registry = this.#rules?.registry ?? registry;
    this.has_rules = this.#rules !== undefined;
    this.heap_bytes = this.#table.heap_bytes + (this.#rules?.heap_bytes ?? 0);
    this.#limits = limits;
    this.#walker = new WireWalker(limits);
    this.#work = new MessageWork(limits);
    if (this.#table.reaches_required) this.#required = new RequiredFields(this.#registry);
  }

  /** The decoding steps of all messages so far, with fractions; a rule step counts as two of them. */
  get work(): number {
    return this.#work.taken + 2 * this.rule_steps;
  }

  /** The rule steps of all messages so far, with fractions. */
  get rule_steps(): number {
    return this.#rules?.steps ?? 0;
  }

  /**
   * Decodes data for filters, in the form that its content type selects: the message, by both names of its fields;
   * undefined if the content type selects no form. Throws if the data is invalid or costs too much.
   */
  read(content_type: string, data: Uint8Array): unknown {
    const form = formOf(content_type);
    if (form === undefined) return undefined;
    const recursionLimit = this.#limits.depth;
    const work = this.#work.begin();
    if (form === "binary") {
      this.#walker.walk(this.#table, data, "allow");
      work.spend(this.#walker.steps);
      return dataView(this.desc, fromBinary(this.desc, data, { recursionLimit }));
    }
    const options = { registry: this.#registry, work, ignoreUnknownFields: true, recursionLimit };
    return dataView(this.desc, readJson(this.desc, parseNumerals(strictText(data)), options));
  }

  validate(data: Uint8Array, options: ValidateOptions): Validation {
    let found = this.#walker.walk(this.#table, data, options.unknown_fields);
    const in_pieces = this.#walker.lacks_in_pieces;
    if (!in_pieces && (this.#rules === undefined || found.total > 0)) return found;
    try {
      this.#work.begin().spend(this.#walker.steps);
    } catch (error) {
      const { message } = error as TooMuchWork;
      return { ...found, violations: [{ path: "", rule: "rule-cost", message }], total: 1 };
    }
    if (in_pieces) found = this.#judgeWhole(data, found);
    if (this.#rules === undefined || found.total > 0) return found;
    const broken = this.#rules.judgeBinary(data);
    return broken === undefined ? found : { ...found, ...broken };
  }

  /** Checks required fields again after merging the pieces of one message, as every reader does. */
  #judgeWhole(data: Uint8Array, found: Validation): Validation {
    const { unknown, unknown_paths } = found;
    const findings = new Findings(this.#limits.violations);
    findings.reset("allow");
    try {
      const message = fromBinary(this.desc, data, { recursionLimit: this.#limits.depth });
      this.#required?.report(this.desc, message, findings);
    } catch {
      return found;
    }
    return { ...findings.result(), unknown, unknown_paths };
  }

  /** Judges data in the ProtoJSON form, UTF-8. */
  validateJson(text: Uint8Array, options: ValidateOptions): Validation {
    const { validation, message } = validateJsonText(
      {
        desc: this.desc,
        registry: this.#registry,
        required: this.#required,
        work: this.#work,
        limits: this.#limits,
      },
      text,
      options.unknown_fields,
    );
    if (this.#rules === undefined || message === undefined) return validation;
    const broken = this.#rules.judgeJson(message, text.length);
    return broken === undefined ? validation : { ...validation, ...broken };
  }
}

/**
 * Compiles the message with this full name, and everything it reaches. Extensions in the registry are part of the
 * schema. As in Protobuf, a singular field may occur repeatedly, and the pieces of a message are merged: required fields may be in any of them.
 *
 * Throws `SchemaError` if there is no such message, or it or its rules cannot be used.
 */
export function compileMessage(
  registry: FileRegistry,
  message: string,
  limits: SchemaLimits = SCHEMA_LIMITS,
): MessageSchema {
  const desc = registry.getMessage(message);
  if (desc === undefined) throw new SchemaError(`the schema has no message ${quoteName(message)}`);
  return new MessageSchema(registry, desc, limits);
}

const BINARY: ReadonlySet<string> = new Set([
  "",
  "application/protobuf",
  "application/x-protobuf",
  "application/octet-stream",
]);

/** The content type without parameters, in lower case. */
export function essenceOf(content_type: string): string {
  const semicolon = content_type.indexOf(";");
  return (semicolon < 0 ? content_type : content_type.slice(0, semicolon)).trim().toLowerCase();
}

/** The selected form; undefined: neither. */
export function formOf(content_type: string): "binary" | "json" | undefined {
  const type = essenceOf(content_type);
  if (BINARY.has(type)) return "binary";
  return type === "application/json" ? "json" : undefined;
}
