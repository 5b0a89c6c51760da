/**
 * Descriptors compiled to tables that the wire walker reads: from field number to wire type, shape and nested table.
 * There is one table for each reached message type. It reads no data.
 */
import { getOption, ScalarType } from "@bufbuild/protobuf";
import type { DescExtension, DescField, DescMessage, Registry } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { SchemaError } from "../../../shared/schema/schema_error.ts";
import type { SchemaLimits } from "./validate_types.ts";
import {
  field as field_option,
  message as message_option,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import type { FieldRules } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { withInner } from "./rules_collect.ts";

// The cost of decoding a message and running the rules of its fields is computed in advance. A decoder creates every
// field without presence, even of an empty message, so two bytes may cost as much as a hundred values.

/** Steps, each about half a microsecond, as measured: of a message, of its fields by their presence, of a rule. */
const MESSAGE = 2;
const MADE_FIELD = 0.5;
const OTHER_FIELD = 0.1;
const RULE = 3;
const EXPRESSION_CHARS_PER_STEP = 8;

const messages = new WeakMap<DescMessage, number>();
const elements = new WeakMap<DescField | DescExtension, number>();

function known<K extends WeakKey>(all: WeakMap<K, number>, key: K, price: (key: K) => number) {
  let steps = all.get(key);
  if (steps === undefined) all.set(key, steps = price(key));
  return steps;
}

/** The cost of rules at each evaluation, without those of elements. */
function rulesSteps(rules: Pick<FieldRules, "cel" | "celExpression">): number {
  let steps = RULE;
  for (const { expression } of rules.cel) {
    steps += RULE + expression.length / EXPRESSION_CHARS_PER_STEP;
  }
  for (const { length } of rules.celExpression) steps += RULE + length / EXPRESSION_CHARS_PER_STEP;
  return steps;
}

/** The fixed steps of one message of this type, without those of its values. */
export const messageSteps = (desc: DescMessage): number =>
  known(messages, desc, () => {
    const { cel, celExpression } = getOption(desc, message_option);
    let steps = MESSAGE + rulesSteps({ cel, celExpression }) - RULE;
    for (const field of desc.fields) {
      const is_made = field.presence === FeatureSet_FieldPresence.IMPLICIT ||
        field.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED;
      steps += is_made ? MADE_FIELD : OTHER_FIELD;
      const [own] = rulesOf(field);
      if (own !== undefined) steps += rulesSteps(own);
    }
    return steps;
  });

/** The steps of one value of a field, or of one of its elements. */
export const valueSteps = (field: DescField | DescExtension): number =>
  known(elements, field, () => {
    const [, ...inner] = rulesOf(field);
    return inner.reduce((steps, rules) => steps + rulesSteps(rules), 1);
  });

function rulesOf(field: DescField | DescExtension): FieldRules[] {
  const options = field.proto.options;
  return options === undefined ? [] : Array.from(withInner(getOption(field, field_option)));
}

/** Ends the decoding of a message that costs too much. */
export class TooMuchWork extends Error {
  override readonly name = "TooMuchWork";
}

/** The work of one type's messages; each message has the same limit. */
export class MessageWork {
  /** The steps of all messages so far. */
  taken = 0;
  readonly #most: number;
  #left = 0;

  constructor({ decode_steps }: SchemaLimits) {
    this.#most = decode_steps;
  }

  /** Starts with a message, or with another reading of it. */
  begin(): this {
    this.#left = this.#most;
    return this;
  }

  /** Call it before the work. Throws `TooMuchWork` if the message may not cost that much. */
  spend(steps: number): void {
    this.taken += Math.min(steps, this.#left);
    this.#left -= steps;
    if (this.#left >= 0) return;
    throw new TooMuchWork(`decoding and checking it takes more than ${this.#most} steps`);
  }
}

/** Wire types, which are the low three bits of a tag. */
export const WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2;
/** The wire types of groups and of four bytes. */
export const WIRE_GROUP = 3, WIRE_END_GROUP = 4, WIRE_FIXED32 = 5;

/** Field numbers below this one are looked up in an array. */
const DENSE_NUMBERS = 128;
/** The most required fields of one message whose bits fit a small integer. */
const REQUIRED_BITS = 30;
/** The most fields with a message, in one message, whose bits fit a small integer. */
const PIECE_BITS = 30;

/** Bytes, as measured: of a table with its dense part, of an entry in it. */
const TABLE_BYTES = 1_280;
const ENTRY_BYTES = 176;

/** The content of a field's bytes. */
export type Shape = "plain" | "text" | "message" | "closed-enum";

/** One field of a table. It is a class, so that all fields share one hidden class. */
export class FieldEntry {
  readonly number: number;
  /** The field's name in a path: `latitude`, or `[package.extension]`. */
  readonly name: string;
  /** The field's type in messages: `float`, `enum a.B`, `message a.B`. */
  readonly type: string;
  /** The wire type of one element. */
  readonly wire: number;
  readonly shape: Shape;
  readonly repeated: boolean;
  /** Whether its elements may also be packed, for a repeated field. */
  readonly packable: boolean;
  /**
   * The table of the message inside, for `shape` "message"; for a map, of its entry. Set once, as types
   * may be recursive.
   */
  table: MessageTable | undefined;
  /** The values of the enum, for `shape` "closed-enum". */
  readonly values: ReadonlySet<number> | undefined;
  readonly map_key: ScalarType | undefined;
  /** The cost of decoding one value, with the rules of elements. */
  readonly steps: number;
  /** The field's bit in the required mask; 0: the field is not required. */
  required_bit = 0;
  /** The bit of a field with a message that is not repeated; 0 for any other field. */
  piece_bit = 0;

  constructor(parts: FieldParts) {
    this.number = parts.number;
    this.name = parts.name;
    this.type = parts.type;
    this.wire = parts.wire;
    this.shape = parts.shape;
    this.repeated = parts.repeated;
    this.packable = parts.repeated && parts.wire !== WIRE_BYTES && parts.wire !== WIRE_GROUP;
    this.values = parts.values;
    this.map_key = parts.map_key;
    this.steps = parts.steps ?? 1;
  }
}

interface FieldParts {
  readonly number: number;
  readonly name: string;
  readonly repeated: boolean;
  readonly type: string;
  readonly wire: number;
  readonly shape: Shape;
  readonly values?: ReadonlySet<number> | undefined;
  readonly map_key?: ScalarType | undefined;
  readonly steps?: number;
}

/** The table of one message type. */
export class MessageTable {
  readonly type_name: string;
  /** True for an entry of a map: a message on the wire, but not in a path. */
  readonly is_entry: boolean;
  /** The cost of decoding one message, without its values. */
  steps = 0;
  readonly dense: (FieldEntry | undefined)[] = new Array(DENSE_NUMBERS).fill(undefined);
  readonly sparse = new Map<number, FieldEntry>();
  /** The required fields, in the order of declaration. */
  required: FieldEntry[] = [];
  required_mask = 0;
  /** Required fields without a bit in the mask; they are searched for. */
  late_required: FieldEntry[] = [];
  /** For the outermost table: whether some type that it reaches has required fields. */
  reaches_required = false;
  /** For the outermost table: estimated bytes of all tables that it reaches. */
  heap_bytes = 0;
  /** The number of singular fields with a message. */
  #singles = 0;

  constructor(type_name: string, is_entry: boolean) {
    this.type_name = type_name;
    this.is_entry = is_entry;
  }

  add(field: FieldEntry): void {
    if (field.shape === "message" && !field.repeated) {
      // Fields beyond the available bits share the last one: two of them look like two pieces of one.
      field.piece_bit = 1 << Math.min(this.#singles++, PIECE_BITS - 1);
    }
    if (field.number < DENSE_NUMBERS) this.dense[field.number] = field;
    else this.sparse.set(field.number, field);
  }

  /** The field with that number; `undefined` if the schema has none. */
  find(number: number): FieldEntry | undefined {
    return number < DENSE_NUMBERS ? this.dense[number] : this.sparse.get(number);
  }

  require(field: FieldEntry): void {
    if (this.required.length >= REQUIRED_BITS) {
      this.late_required.push(field);
      return;
    }
    field.required_bit = 1 << this.required.length;
    this.required.push(field);
    this.required_mask |= field.required_bit;
  }
}

function scalarWire(type: ScalarType): number {
  switch (type) {
    case ScalarType.DOUBLE:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return WIRE_FIXED64;
    case ScalarType.FLOAT:
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      return WIRE_FIXED32;
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return WIRE_BYTES;
    default:
      return WIRE_VARINT;
  }
}

type Any = DescField | DescExtension;
type Value = Pick<FieldParts, "type" | "wire" | "shape" | "values">;

function scalarValue(type: ScalarType, utf8: boolean): Value {
  const shape = type === ScalarType.STRING && utf8 ? "text" : "plain";
  return { type: ScalarType[type].toLowerCase(), wire: scalarWire(type), shape };
}

/** The value of one element of a list, of a map's entry, or of the field itself. */
function fieldValue(field: Any): Value {
  if (field.scalar !== undefined) return scalarValue(field.scalar, field.utf8Validation);
  if (field.enum !== undefined) {
    const type = `enum ${field.enum.typeName}`;
    if (field.enum.open) return { type, wire: WIRE_VARINT, shape: "plain" };
    const values = new Set(field.enum.values.map((value) => value.number));
    return { type, wire: WIRE_VARINT, shape: "closed-enum", values };
  }
  const group = (field.fieldKind === "message" || field.fieldKind === "list") &&
    field.delimitedEncoding;
  const type = `${group ? "group" : "message"} ${field.message!.typeName}`;
  return { type, wire: group ? WIRE_GROUP : WIRE_BYTES, shape: "message" };
}

/** The extensions of a registry by the full name of the message that each extends. */
export const extensionsOf = (registry: Registry): Map<string, DescExtension[]> =>
  Map.groupBy(
    Iterator.from(registry).filter((type) => type.kind === "extension"),
    ({ extendee }) => extendee.typeName,
  );

/** Compiles one message type and records those that it reaches. */
class TableCompiler {
  readonly #tables = new Map<string, MessageTable>();
  readonly #extensions: ReadonlyMap<string, readonly DescExtension[]>;
  readonly #waiting: DescMessage[] = [];
  readonly #entries: FieldEntry[] = [];
  readonly #limit: number;
  #heap_bytes = 0;

  constructor(registry: Registry, limit: number) {
    this.#limit = limit;
    this.#extensions = extensionsOf(registry);
  }

  compile(root: DescMessage): MessageTable {
    const table = this.#tableOf(root);
    for (let next = this.#waiting.pop(); next !== undefined; next = this.#waiting.pop()) {
      this.#fill(this.#tableOf(next), next);
    }
    // An entry without a value means an empty message, which may lack required fields.
    for (const map of this.#entries) {
      const value = map.table?.find(2);
      if (value?.table !== undefined && value.table.required.length > 0) map.table?.require(value);
    }
    for (const { required } of this.#tables.values()) {
      if (required.length > 0) table.reaches_required = true;
    }
    table.heap_bytes = this.#heap_bytes + this.#tables.size * TABLE_BYTES;
    return table;
  }

  #tableOf(desc: DescMessage): MessageTable {
    const known = this.#tables.get(desc.typeName);
    if (known !== undefined) return known;
    if (this.#tables.size >= this.#limit) {
      throw new SchemaError(`the message reaches more than ${this.#limit} message types`);
    }
    const table = new MessageTable(desc.typeName, false);
    this.#tables.set(desc.typeName, table);
    this.#waiting.push(desc);
    return table;
  }

  #fill(table: MessageTable, desc: DescMessage): void {
    table.steps = messageSteps(desc);
    for (const field of desc.fields) {
      const entry = this.#field(field, field.name);
      table.add(entry);
      if (field.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED) table.require(entry);
    }
    for (const extension of this.#extensions.get(desc.typeName) ?? []) {
      table.add(this.#field(extension, `[${extension.typeName}]`));
    }
  }

  #field(field: Any, name: string): FieldEntry {
    const { number } = field;
    this.#heap_bytes += ENTRY_BYTES;
    if (field.fieldKind === "map") return this.#map(field, name);
    const repeated = field.fieldKind === "list";
    const steps = valueSteps(field);
    const entry = new FieldEntry({ number, name, repeated, steps, ...fieldValue(field) });
    if (field.message !== undefined) entry.table = this.#tableOf(field.message);
    return entry;
  }

  #map(field: Any & { fieldKind: "map" }, name: string): FieldEntry {
    const { number, mapKey: map_key } = field;
    const type = `map<${ScalarType[map_key].toLowerCase()}, …>`;
    const parts = {
      number,
      name,
      repeated: true,
      type,
      wire: WIRE_BYTES,
      map_key,
      steps: valueSteps(field),
    };
    const entry = new FieldEntry({ ...parts, shape: "message" });
    this.#heap_bytes += TABLE_BYTES + 2 * ENTRY_BYTES;
    entry.table = new MessageTable(`an entry of ${field.parent?.typeName}.${name}`, true);
    const key = scalarValue(map_key, field.utf8Validation);
    entry.table.add(new FieldEntry({ number: 1, name: "key", repeated: false, ...key }));
    const value = fieldValue(field);
    const value_entry = new FieldEntry({ number: 2, name: "value", repeated: false, ...value });
    if (field.message !== undefined) value_entry.table = this.#tableOf(field.message);
    entry.table.add(value_entry);
    this.#entries.push(entry);
    return entry;
  }
}

/** Compiles the tables of a message. Throws `SchemaError` if it reaches too many types, or cannot be checked. */
export function compileTable(
  registry: Registry,
  desc: DescMessage,
  limits: SchemaLimits,
): MessageTable {
  return new TableCompiler(registry, limits.messages).compile(desc);
}
