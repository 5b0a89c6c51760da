/**
 * A Protobuf message as a contract: `compileMessage` compiles a descriptor, and the result checks data. Binary data is
 * walked on the wire first; rules of protovalidate run only if the message has any. `gate.ts` and `cache.ts` handle
 * subjects and schemas.
 */
import { strictText } from "@arqon/proto";
import { create, fromBinary, ScalarType, toBinary } from "@bufbuild/protobuf";
import type { DescField, DescMessage, FileRegistry, Message } from "@bufbuild/protobuf";
import { compileTable, MessageWork } from "./validate_table.ts";
import type { MessageTable, TooMuchWork } from "./validate_table.ts";
import { parseNumerals, readJson } from "./protojson.ts";
import { quoteName, SchemaError } from "../../../shared/schema/schema_error.ts";
import { RequiredFields, validateJsonText } from "./json.ts";
import { Findings } from "./validate_findings.ts";
import { SCHEMA_LIMITS } from "./validate_types.ts";
import type { SchemaLimits, ValidateOptions, Validation } from "./validate_types.ts";
import { WireWalker } from "./validate_wire.ts";
import { pathToString, reflect } from "@bufbuild/protobuf/reflect";
import { CompilationError, createValidator } from "@bufbuild/protovalidate";
import type { Validator, Violation as Broken } from "@bufbuild/protovalidate";
import { collectRules, countedRegistry, reachable, type RuleInventory } from "./rules_collect.ts";
import { type RuleClock, RuleSteps, THREAD_CLOCK } from "./rules_steps.ts";
import { parse } from "@bufbuild/cel";
import { nearest } from "../../../shared/config/suggest.ts";
import type { Expr } from "../../../shared/filter/syntax.ts";

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
 * schema. As in Protobuf, a singular field may occur repeatedly, and the pieces of a message are merged: required
 * fields may be in any of them.
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

type RuleFindings = Pick<Validation, "violations" | "total">;

class MessageRules {
  /** The descriptor to decode with; not the given registry's if rules had to be changed. */
  readonly desc: DescMessage;
  readonly registry: FileRegistry;
  /** Estimated bytes in memory, without descriptors. */
  readonly heap_bytes: number;
  readonly #validator: Validator;
  readonly #steps: RuleSteps;
  readonly #counted: RuleInventory["counted"];
  readonly #limits: SchemaLimits;
  /** Whether some message that it reaches has a `float`. */
  readonly #has_floats: boolean;

  /** Compiles the rules. Throws `SchemaError` if protovalidate cannot. */
  constructor(
    registry: FileRegistry,
    desc: DescMessage,
    inventory: RuleInventory,
    limits: SchemaLimits,
    clock: RuleClock,
  ) {
    this.desc = desc;
    this.#has_floats = reachesFloat(desc);
    this.registry = registry;
    this.#counted = inventory.counted;
    this.heap_bytes = inventory.heap_bytes;
    this.#limits = limits;
    this.#steps = new RuleSteps(limits, clock);
    this.#validator = createValidator({ registry, regexMatch: this.#steps.matches });
    this.#steps.begin(0);
    const empty = this.#validator.validate(desc, create(desc));
    if (empty.kind === "error" && empty.error instanceof CompilationError) {
      throw new SchemaError(`the rules of ${desc.typeName}: ${empty.error.message}`);
    }
  }

  /** The steps of all messages so far. */
  get steps(): number {
    return this.#steps.taken;
  }

  /** Checks binary data of valid structure; `undefined` if it violates no rule. */
  judgeBinary(data: Uint8Array, size_bytes: number = data.length): RuleFindings | undefined {
    let message: Message;
    try {
      message = fromBinary(this.desc, data, {
        readUnknownFields: false,
        recursionLimit: this.#limits.depth,
      });
    } catch (error) {
      return this.#one("rule-error", `the data cannot be decoded: ${(error as Error).message}`);
    }
    return this.judge(message, size_bytes);
  }

  /**
   * As `judge`, for a message decoded from JSON. Its floats are doubles and are first rounded to 32 bits, as in the
   * binary form.
   */
  judgeJson(message: Message, size_bytes: number): RuleFindings | undefined {
    if (!this.#has_floats) return this.judge(message, size_bytes);
    return this.judgeBinary(toBinary(this.desc, message), size_bytes);
  }

  /**
   * Checks a message; `undefined` if it violates no rule. `size_bytes` is the size of the data that the message was
   * decoded from.
   */
  judge(message: Message, size_bytes: number): RuleFindings | undefined {
    this.#steps.begin(size_bytes);
    const result = this.#validator.validate(this.desc, message);
    if (this.#steps.exhausted) {
      const { rule_steps, rule_cpu_ms } = this.#limits;
      const most = `${rule_steps} steps or ${rule_cpu_ms} ms of CPU`;
      return this.#one("rule-cost", `the rules take more than ${most} over this message`);
    }
    if (result.kind === "valid") return undefined;
    if (result.kind === "error") {
      return this.#one("rule-error", `a rule cannot be evaluated: ${result.error.message}`);
    }
    const findings = new Findings(this.#limits.violations);
    findings.reset("allow");
    for (const broken of result.violations) {
      if (findings.count()) this.#describe(findings, broken);
    }
    const { violations, total } = findings.result();
    return { violations, total };
  }

  #describe(findings: Findings, broken: Broken): void {
    const rule = this.#counted.get(broken.ruleId) ?? broken.ruleId;
    // Protovalidate quotes the expression of a rule without its own message.
    const quoted = /^"([^]*)" returned false$/.exec(broken.message)?.[1] ?? "";
    const original = this.#counted.get(quoted);
    const message = original === undefined ? broken.message : `"${original}" returned false`;
    const subject = broken.forKey ? "the key: " : "";
    findings.describe(pathToString(broken.field), rule || "cel", subject + message);
  }

  #one(rule: string, message: string): RuleFindings {
    return { violations: [{ path: "", rule, message }], total: 1 };
  }
}

function reachesFloat(desc: DescMessage): boolean {
  return Array.from(reachable(desc)).some(({ fields }) =>
    fields.some(({ scalar }) => scalar === ScalarType.FLOAT)
  );
}

/**
 * Compiles the rules of a message; `undefined` if it reaches none. Throws `SchemaError` for rules that cannot be used.
 */
export function compileRules(
  registry: FileRegistry,
  desc: DescMessage,
  limits: SchemaLimits,
  clock: RuleClock = THREAD_CLOCK,
): MessageRules | undefined {
  const inventory = collectRules(registry, desc, limits);
  if (!inventory.any) return undefined;
  if (inventory.counted.size === 0 && !inventory.has_hosts) {
    return new MessageRules(registry, desc, inventory, limits, clock);
  }
  const counted = countedRegistry(registry);
  const same = counted.getMessage(desc.typeName)!;
  return new MessageRules(counted, same, inventory, limits, clock);
}

/** Messages that have their own CEL values, or whose fields are in no schema. */
const VALUES = /^google\.protobuf\.(?:Any|Struct|Value|ListValue|Timestamp|Duration|\w+Value)$/;

const views = new WeakMap<DescMessage, DescMessage>();

/** The message with the fields that a filter can use. */
function dataView(desc: DescMessage, message: Message): unknown {
  return reflect(viewOf(desc), message);
}

/** The description with each field under both of its names; the schema's name has priority. */
function viewOf(desc: DescMessage): DescMessage {
  if (VALUES.test(desc.typeName)) return desc;
  let view = views.get(desc);
  if (view === undefined) {
    const names = new Set(desc.fields.map(({ name }) => name));
    const fields = desc.fields.flatMap((field) => {
      const { jsonName } = field;
      return names.has(jsonName)
        ? [fieldView(field, field.name)]
        : [fieldView(field, field.name), fieldView(field, jsonName)];
    });
    view = Object.create(desc, { fields: { value: fields, enumerable: true } }) as DescMessage;
    views.set(desc, view);
  }
  return view;
}

function fieldView(field: DescField, name: string): DescField {
  const { message } = field;
  const own: PropertyDescriptorMap = { name: { value: name, enumerable: true } };
  // Messages may contain themselves.
  if (message !== undefined) own["message"] = { get: () => viewOf(message), enumerable: true };
  return Object.create(field, own) as DescField;
}

/** The known type of a value: a message, or the elements of a list or map; undefined: anything. */
type Known =
  | DescMessage
  | { readonly kind: "list"; readonly item: Known }
  | { readonly kind: "map"; readonly item: Known }
  | undefined;

/** The problem with the fields of `data` that a filter names, for data of that message. */
export function fieldProblem(text: string, data: DescMessage): string | undefined {
  const { expr } = parse(text);
  const finder = new Finder();
  finder.look(expr, new Map([["data", data]]));
  return finder.problem;
}

class Finder {
  problem: string | undefined;

  /** Checks a node in which these names are known. */
  look(expr: Expr | undefined, names: ReadonlyMap<string, Known>): Known {
    if (expr === undefined) return undefined;
    const { exprKind } = expr;
    switch (exprKind.case) {
      case "identExpr":
        return names.get(exprKind.value.name.replace(/^\./, ""));
      case "selectExpr":
        return this.#field(this.look(exprKind.value.operand, names), exprKind.value.field);
      case "callExpr": {
        const { target, args, function: name } = exprKind.value;
        this.look(target, names);
        const [first] = args.map((one) => this.look(one, names));
        return name === "_[_]" && first?.kind !== "message" ? first?.item : undefined;
      }
      case "listExpr":
        for (const one of exprKind.value.elements) this.look(one, names);
        return undefined;
      case "structExpr":
        for (const { value } of exprKind.value.entries) this.look(value, names);
        return undefined;
      case "comprehensionExpr": {
        const loop = exprKind.value;
        const range = this.look(loop.iterRange, names);
        this.look(loop.accuInit, names);
        const item = range?.kind === "list" && loop.iterVar2 === "" ? range.item : undefined;
        const inner = new Map<string, Known>([...names, [loop.iterVar, item]]);
        inner.set(loop.iterVar2, undefined).set(loop.accuVar, undefined);
        for (const part of [loop.loopCondition, loop.loopStep, loop.result]) this.look(part, inner);
        return undefined;
      }
      default:
        return undefined;
    }
  }

  #field(of: Known, name: string): Known {
    if (of === undefined || of.kind === "list") return undefined;
    if (of.kind === "map") return of.item;
    if (VALUES.test(of.typeName)) return undefined;
    const { fields } = viewOf(of);
    const field = fields.find((one) => one.name === name);
    if (field !== undefined) return knownOf(field);
    // One problem is enough, and looking for a name that is near takes time.
    if (this.problem !== undefined) return undefined;
    const meant = nearest(name, fields.map((one) => one.name));
    const hint = meant === undefined ? "" : `; did you mean ${JSON.stringify(meant)}?`;
    this.problem = `${of.typeName} has no field ${JSON.stringify(name)}${hint}`;
    return undefined;
  }
}

function knownOf(field: DescField): Known {
  switch (field.fieldKind) {
    case "message":
      return field.message;
    case "list":
      return { kind: "list", item: field.message };
    case "map":
      return { kind: "map", item: field.message };
    default:
      return undefined;
  }
}
