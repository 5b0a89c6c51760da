/**
 * Finds the protovalidate rules that a message reaches, checks that they are within limits and compile, and copies a
 * registry with counters in their loops. It runs no rules.
 */
import { parse } from "@bufbuild/cel";
import {
  clone,
  type DescExtension,
  type DescField,
  type DescFile,
  type DescMessage,
  type FileRegistry,
  getExtension,
  getOption,
  hasExtension,
  hasOption,
  setExtension,
} from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  type FieldDescriptorProto,
  type FieldOptions,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  type MessageOptions,
} from "@bufbuild/protobuf/wkt";
import {
  field as field_option,
  type FieldRules,
  message as message_option,
  oneof as oneof_option,
  predefined as predefined_option,
  type Rule,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import {
  isShared,
  linkFiles,
  markShared,
} from "../../../shared/schema/descriptors/shared_files.ts";
import { quoteName, SchemaError } from "../../../shared/schema/schema_error.ts";
import { hasHostRule, replaceHostRule } from "./rules_steps.ts";
import { countTurns, patternProblem } from "./rules_steps.ts";
import type { SchemaLimits } from "./validate_types.ts";

/** The rules that a message reaches. */
export interface RuleInventory {
  /** Whether there is at least one rule. */
  readonly any: boolean;
  /** Whether some rules are about host names. */
  readonly has_hosts: boolean;
  /** The schema's expressions by their counted form; only those that differ from it. */
  readonly counted: ReadonlyMap<string, string>;
  /** Estimated bytes of the compiled rules in memory. */
  readonly heap_bytes: number;
}

/** The longest text or bytes that `contains` and `not_contains` of a field may search for. */
const NEEDLE_MAX = 256;
/** Measured bytes: of a validator, of the standard rules of one type, of an expression or pattern. */
const VALIDATOR_BYTES = 32_768;
const STANDARD_BYTES = 163_840;
const EXPRESSION_BYTES = 2_048;
const EXPRESSION_CHAR_BYTES = 40;

/** An element with CEL expressions: a message, a field, or a predefined rule. */
interface CelHolder {
  cel: Rule[];
  celExpression?: string[];
}

function eachExpression(holder: CelHolder, change: (expression: string) => string): void {
  for (const rule of holder.cel) rule.expression = change(rule.expression);
  if (holder.celExpression !== undefined) holder.celExpression = holder.celExpression.map(change);
}

/** The rules of a field and those of its elements, keys and values, which may nest. */
export function* withInner(rules: FieldRules | undefined): Generator<FieldRules> {
  if (rules === undefined) return;
  yield rules;
  if (rules.type.case === "repeated") yield* withInner(rules.type.value.items);
  if (rules.type.case !== "map") return;
  yield* withInner(rules.type.value.keys);
  yield* withInner(rules.type.value.values);
}

/** Collects rules, and refuses those that cannot be used. */
class Collector {
  any = false;
  has_hosts = false;
  readonly counted = new Map<string, string>();
  readonly #limits: SchemaLimits;
  /** The types that have standard rules: protovalidate compiles all rules of a type. */
  readonly #standard = new Set<string>();
  #count = 0;
  #chars = 0;

  constructor(limits: SchemaLimits) {
    this.#limits = limits;
  }

  get heap_bytes(): number {
    const standard = this.#standard.size * STANDARD_BYTES;
    return VALIDATOR_BYTES + standard + this.#count * EXPRESSION_BYTES +
      this.#chars * EXPRESSION_CHAR_BYTES;
  }

  message(desc: DescMessage): void {
    if (hasOption(desc, message_option)) {
      this.any = true;
      this.holder(getOption(desc, message_option), desc.typeName);
    }
    for (const oneof of desc.oneofs) this.any ||= hasOption(oneof, oneof_option);
    for (const field of desc.fields) this.#field(field);
  }

  #field(field: DescField): void {
    if (!hasOption(field, field_option)) return;
    this.any = true;
    const where = `${field.parent.typeName}.${field.name}`;
    for (const rules of withInner(getOption(field, field_option))) {
      this.holder(rules, where);
      this.has_hosts ||= hasHostRule(rules);
      const { type } = rules;
      if (type.case !== undefined) this.#standard.add(type.case);
      if ((type.case === "string" || type.case === "bytes") && type.value.pattern !== "") {
        this.#pattern(type.value.pattern, where);
      }
      if (type.case === "string") {
        this.#needle(type.value.contains, where);
        this.#needle(type.value.notContains, where);
      } else if (type.case === "bytes") this.#needle(type.value.contains, where);
      // Protovalidate compares messages pairwise, and never by content.
      if (type.case === "repeated" && type.value.unique && field.message !== undefined) {
        throw new SchemaError(`${quoteName(where)}: repeated.unique cannot be used on messages`);
      }
    }
  }

  predefined(extension: DescExtension): void {
    if (!hasOption(extension, predefined_option)) return;
    this.holder(getOption(extension, predefined_option), extension.typeName);
  }

  holder(holder: CelHolder, where: string): void {
    const expressions = [
      ...holder.cel.map((rule) => rule.expression),
      ...holder.celExpression ?? [],
    ];
    for (const expression of expressions) this.#expression(expression, where);
  }

  #expression(expression: string, where: string): void {
    this.#addOne(expression);
    const most = this.#limits.expression_chars;
    if (expression.length > most) {
      const size = `has ${expression.length} characters, at most ${most}`;
      throw new SchemaError(`a CEL expression of ${quoteName(where)} ${size}`);
    }
    const counted = countTurns(expression);
    try {
      parse(expression);
      if (counted !== expression) parse(counted);
    } catch (error) {
      const text = `the CEL expression ${quoteName(expression)} of ${quoteName(where)}`;
      throw new SchemaError(`${text} cannot be compiled: ${(error as Error).message}`);
    }
    if (counted !== expression) this.counted.set(counted, expression);
  }

  #pattern(pattern: string, where: string): void {
    this.#addOne(pattern);
    const problem = patternProblem(pattern, this.#limits);
    if (problem === undefined) return;
    const text = `the pattern ${quoteName(pattern)} of ${quoteName(where)}`;
    throw new SchemaError(`${text} cannot be used: ${problem}`);
  }

  /** The needle is compared at each position of the text, and no step counts that. */
  #needle({ length }: string | Uint8Array, where: string): void {
    if (length <= NEEDLE_MAX) return;
    const found = `looks for ${length} characters or bytes, at most ${NEEDLE_MAX}`;
    throw new SchemaError(`a rule of ${quoteName(where)} ${found}`);
  }

  #addOne(text: string): void {
    this.#chars += text.length;
    if (++this.#count <= this.#limits.expressions) return;
    const most = this.#limits.expressions;
    throw new SchemaError(`the message has more than ${most} CEL expressions and patterns`);
  }
}

/** The message and all nested messages, at any depth. */
export function reachable(root: DescMessage): Set<DescMessage> {
  const found = new Set([root]);
  for (const desc of found) {
    for (const field of desc.fields) {
      if (field.message !== undefined) found.add(field.message);
    }
  }
  return found;
}

/** Collects the rules. Throws `SchemaError` if one cannot be compiled, or if they are too many or too long. */
export function collectRules(
  registry: FileRegistry,
  root: DescMessage,
  limits: SchemaLimits,
): RuleInventory {
  const collector = new Collector(limits);
  try {
    for (const desc of reachable(root)) collector.message(desc);
    if (!collector.any) return collector;
    for (const type of registry) {
      if (type.kind === "extension") collector.predefined(type);
    }
  } catch (error) {
    if (error instanceof SchemaError) throw error;
    // The bytes of the options are not rules.
    throw new SchemaError(`the rules cannot be read: ${(error as Error).message}`);
  }
  return collector;
}

function countInField(field: FieldDescriptorProto): void {
  const options: FieldOptions | undefined = field.options;
  if (options === undefined) return;
  if (hasExtension(options, field_option)) {
    const rules = getExtension(options, field_option);
    for (const inner of withInner(rules)) {
      replaceHostRule(inner);
      eachExpression(inner, countTurns);
    }
    setExtension(options, field_option, rules);
  }
  if (hasExtension(options, predefined_option)) {
    const rules = getExtension(options, predefined_option);
    eachExpression(rules, countTurns);
    setExtension(options, predefined_option, rules);
  }
}

function countInMessage(message: DescriptorProto): void {
  const options: MessageOptions | undefined = message.options;
  if (options !== undefined && hasExtension(options, message_option)) {
    const rules = getExtension(options, message_option);
    eachExpression(rules, countTurns);
    setExtension(options, message_option, rules);
  }
  message.field.forEach(countInField);
  message.extension.forEach(countInField);
  message.nestedType.forEach(countInMessage);
}

/** The counted copies of files that many schemas have in common. */
const counted_files = new WeakMap<FileDescriptorProto, FileDescriptorProto>();

function countedFile({ proto }: DescFile): FileDescriptorProto {
  const known = counted_files.get(proto);
  if (known !== undefined) return known;
  const copy = clone(FileDescriptorProtoSchema, proto);
  copy.messageType.forEach(countInMessage);
  copy.extension.forEach(countInField);
  if (isShared(proto)) {
    markShared(copy);
    counted_files.set(proto, copy);
  }
  return copy;
}

/** Makes a registry of the same files in which every loop of a rule is counted. */
export function countedRegistry(registry: FileRegistry): FileRegistry {
  return linkFiles(Array.from(registry.files, countedFile));
}
