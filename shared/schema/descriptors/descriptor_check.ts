/**
 * The rules that a Protobuf compiler enforces and a handmade descriptor can break: names and numbers are unique,
 * references lead to a visible type, maps and oneofs are well formed. The linker checks features and options,
 * `descriptor_check.ts` default values.
 */
import { isFieldSet, ScalarType } from "@bufbuild/protobuf";
import type { DescField, DescMessage, FileRegistry } from "@bufbuild/protobuf";
import {
  Edition,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FieldDescriptorProtoSchema,
} from "@bufbuild/protobuf/wkt";
import type {
  DescriptorProto,
  EnumDescriptorProto,
  FieldDescriptorProto,
  FileDescriptorProto,
} from "@bufbuild/protobuf/wkt";
import { FIELD_NUMBER_MAX, inRanges, mergeRanges } from "../compatibility/compat_reserved.ts";
import type { NumberRange } from "../compatibility/compat_reserved.ts";
import { quoteName, SchemaError } from "../schema_error.ts";

interface Extendee {
  readonly offered: readonly NumberRange[];
  readonly taken: Set<number>;
}

interface Scope {
  readonly file: FileDescriptorProto;
  readonly symbols: Symbols;
  readonly visible: ReadonlySet<string>;
  /** The extension numbers of each extendee, by full name, over all files. */
  readonly extendees: Map<string, Extendee>;
}

function refuse(scope: Scope, problem: string): never {
  throw new SchemaError(`${scope.file.name}: ${problem}`);
}

/** The full name in a reference; references in descriptors begin with a dot. */
const fullName = (reference: string) => reference.startsWith(".") ? reference.slice(1) : reference;

function resolve(scope: Scope, reference: string, kinds: readonly string[], place: string): void {
  const name = fullName(reference);
  const symbol = scope.symbols.get(name);
  if (symbol === undefined || !kinds.includes(symbol.kind)) {
    const problem = symbol === undefined
      ? "which is not in the descriptor set"
      : `which is a ${symbol.kind}`;
    refuse(scope, `${place} refers to the ${kinds.join(" or ")} ${quoteName(name)}, ${problem}`);
  }
  if (!scope.visible.has(symbol.file)) {
    refuse(scope, `${place} refers to ${quoteName(name)}, but does not import ${symbol.file}`);
  }
}

function checkType(scope: Scope, field: FieldDescriptorProto, place: string): void {
  const { type, label } = field;
  if (!isFieldSet(field, FieldDescriptorProtoSchema.field.type)) {
    refuse(scope, `${place} has no type`);
  }
  if (type < 1 || type > 18) refuse(scope, `${place} has the type ${type}, which does not exist`);
  if (label < 1 || label > 3) {
    refuse(scope, `${place} has the label ${label}, which does not exist`);
  }
  if (label === Label.REQUIRED && scope.file.syntax === "proto3") {
    refuse(scope, `${place} is required, which proto3 does not know`);
  }
  if (type === Type.MESSAGE || type === Type.GROUP) {
    resolve(scope, field.typeName, ["message"], place);
  } else if (type === Type.ENUM) {
    resolve(scope, field.typeName, ["enum"], place);
  } else if (field.typeName !== "") {
    refuse(scope, `${place} is a scalar and names the type ${quoteName(field.typeName)}`);
  }
}

function checkNumber(scope: Scope, number: number, place: string): void {
  const in_use = number >= 19_000 && number <= 19_999;
  if (number < 1 || number > FIELD_NUMBER_MAX || in_use) {
    refuse(scope, `${place} has the number ${number}, which no field may have`);
  }
}

function checkExtension(scope: Scope, field: FieldDescriptorProto, place: string): void {
  checkType(scope, field, place);
  checkNumber(scope, field.number, place);
  resolve(scope, field.extendee, ["message"], place);
  const name = fullName(field.extendee);
  const extendee = scope.extendees.get(name) ?? {
    offered: mergeRanges(scope.symbols.get(name)?.message?.extensionRange ?? []),
    taken: new Set<number>(),
  };
  scope.extendees.set(name, extendee);
  if (!inRanges(extendee.offered, field.number)) {
    refuse(scope, `${place} has the number ${field.number}, which ${name} does not offer`);
  }
  if (extendee.taken.has(field.number)) {
    refuse(scope, `${place} has the number ${field.number}, as another extension of ${name}`);
  }
  extendee.taken.add(field.number);
}

function merged(scope: Scope, ranges: readonly NumberRange[], place: string): NumberRange[] {
  for (const { start, end } of ranges) {
    if (start >= end) refuse(scope, `${place} names the range ${start} to ${end - 1}`);
  }
  return mergeRanges(ranges);
}

function checkFields(scope: Scope, message: DescriptorProto, name: string): void {
  const reserved = merged(scope, message.reservedRange, `a reservation of ${name}`);
  const offered = merged(scope, message.extensionRange, `an extension range of ${name}`);
  const reserved_names = new Set(message.reservedName);
  const numbers = new Map<number, string>();
  for (const field of message.field) {
    const place = `field ${quoteName(`${name}.${field.name}`)}`;
    checkType(scope, field, place);
    checkNumber(scope, field.number, place);
    if (field.extendee !== "") refuse(scope, `${place} is an extension inside of a message`);
    const other = numbers.get(field.number);
    if (other !== undefined) {
      refuse(scope, `${place} has the number ${field.number}, as field ${quoteName(other)}`);
    }
    numbers.set(field.number, field.name);
    if (inRanges(reserved, field.number)) {
      refuse(scope, `${place} has the number ${field.number}, which the message reserves`);
    }
    if (inRanges(offered, field.number)) {
      refuse(scope, `${place} has the number ${field.number}, which is left to extensions`);
    }
    if (reserved_names.has(field.name)) {
      refuse(scope, `${place} has a name that the message reserves`);
    }
  }
}

function checkOneofs(scope: Scope, message: DescriptorProto, name: string): void {
  const used = new Set<number>();
  for (const field of message.field) {
    if (!isFieldSet(field, FieldDescriptorProtoSchema.field.oneofIndex)) continue;
    const place = `field ${quoteName(`${name}.${field.name}`)}`;
    if (message.oneofDecl[field.oneofIndex] === undefined) {
      refuse(scope, `${place} is in oneof #${field.oneofIndex}, which does not exist`);
    }
    if (field.label !== Label.OPTIONAL) {
      refuse(scope, `${place} is in a oneof and repeated or required`);
    }
    used.add(field.oneofIndex);
  }
  const empty = message.oneofDecl.find((_oneof, index) => !used.has(index));
  if (empty !== undefined) refuse(scope, `oneof ${quoteName(`${name}.${empty.name}`)} is empty`);
}

const NOT_MAP_KEYS: readonly Type[] = [
  Type.DOUBLE,
  Type.FLOAT,
  Type.BYTES,
  Type.MESSAGE,
  Type.GROUP,
  Type.ENUM,
];

function checkMapEntry(scope: Scope, entry: DescriptorProto, name: string): void {
  const key = entry.field.find(({ number }) => number === 1);
  const value = entry.field.find(({ number }) => number === 2);
  const singular = entry.field.every(({ label }) => label === Label.OPTIONAL);
  const flat = entry.nestedType.length + entry.enumType.length + entry.oneofDecl.length === 0;
  if (key === undefined || value === undefined || entry.field.length !== 2 || !singular || !flat) {
    refuse(scope, `${quoteName(name)} is no well-formed map entry`);
  }
  if (NOT_MAP_KEYS.includes(key.type)) {
    refuse(scope, `${quoteName(name)} has a key of a type that keys cannot have`);
  }
}

function checkEnum(scope: Scope, declared: EnumDescriptorProto, name: string): void {
  const first = declared.value[0];
  if (first === undefined) refuse(scope, `enum ${quoteName(name)} has no values`);
  if (scope.file.syntax === "proto3" && first.number !== 0) {
    refuse(scope, `the first value of the proto3 enum ${quoteName(name)} is not 0`);
  }
  const reserved = mergeRanges(
    declared.reservedRange.map(({ start, end }) => ({ start, end: end + 1 })),
  );
  const reserved_names = new Set(declared.reservedName);
  const numbers = new Map<number, string>();
  for (const value of declared.value) {
    const place = `enum value ${quoteName(`${name}.${value.name}`)}`;
    const other = numbers.get(value.number);
    if (other !== undefined && declared.options?.allowAlias !== true) {
      const number = `the number ${value.number}, as ${quoteName(other)}`;
      refuse(scope, `${place} has ${number}, and the enum allows no aliases`);
    }
    numbers.set(value.number, value.name);
    if (inRanges(reserved, value.number) || reserved_names.has(value.name)) {
      refuse(scope, `${place} has a number or name that the enum reserves`);
    }
  }
}

function checkMessage(scope: Scope, message: DescriptorProto, name: string): void {
  checkFields(scope, message, name);
  checkOneofs(scope, message, name);
  if (message.options?.mapEntry === true) checkMapEntry(scope, message, name);
  for (const field of message.extension) {
    checkExtension(scope, field, `extension ${quoteName(`${name}.${field.name}`)}`);
  }
  for (const nested of message.nestedType) checkMessage(scope, nested, `${name}.${nested.name}`);
  for (const nested of message.enumType) checkEnum(scope, nested, `${name}.${nested.name}`);
}

function checkServices(scope: Scope): void {
  for (const service of scope.file.service) {
    for (const method of service.method) {
      const place = `method ${quoteName(`${service.name}.${method.name}`)}`;
      resolve(scope, method.inputType, ["message"], place);
      resolve(scope, method.outputType, ["message"], place);
    }
  }
}

/** Throws SchemaError for the first broken rule in a file; imports come first. */
export function checkFiles(ordered: readonly FileDescriptorProto[]): void {
  const symbols = collectSymbols(ordered);
  const visible = visibleFiles(ordered);
  const extendees = new Map<string, Extendee>();
  for (const file of ordered) {
    const scope = {
      file,
      symbols,
      visible: visible.get(file.name) ?? new Set<string>(),
      extendees,
    };
    const prefix = file.package === "" ? "" : `${file.package}.`;
    for (const message of file.messageType) checkMessage(scope, message, prefix + message.name);
    for (const declared of file.enumType) checkEnum(scope, declared, prefix + declared.name);
    for (const field of file.extension) {
      checkExtension(scope, field, `extension ${quoteName(prefix + field.name)}`);
    }
    checkServices(scope);
  }
}

interface DeclaredSymbol {
  readonly kind: string;
  readonly file: string;
  readonly message?: DescriptorProto;
}
/** What each full name, without a leading dot, denotes. */
type Symbols = ReadonlyMap<string, DeclaredSymbol>;

/** Longest full name, in characters; without a limit, nesting multiplies one long name. */
const NAME_MAX = 1_024;

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;

interface Collector {
  readonly file: string;
  readonly symbols: Map<string, DeclaredSymbol>;
}

function declare(
  { file, symbols }: Collector,
  scope: string,
  name: string,
  kind: string,
  message?: DescriptorProto,
): string {
  if (!IDENTIFIER.test(name)) {
    throw new SchemaError(`${file}: the ${kind} name ${quoteName(name)} is no identifier`);
  }
  const full = scope === "" ? name : `${scope}.${name}`;
  if (full.length > NAME_MAX) {
    throw new SchemaError(
      `${file}: the ${kind} ${quoteName(full)} has a name above ${NAME_MAX} characters`,
    );
  }
  const other = symbols.get(full);
  if (other !== undefined) {
    const where = other.file === file ? "" : ` of ${other.file}`;
    throw new SchemaError(
      `${file}: the name ${quoteName(full)} of a ${kind} is taken by a ${other.kind}${where}`,
    );
  }
  symbols.set(full, message === undefined ? { kind, file } : { kind, file, message });
  return full;
}

function declareEnum(collector: Collector, scope: string, declared: EnumDescriptorProto): void {
  declare(collector, scope, declared.name, "enum");
  for (const value of declared.value) declare(collector, scope, value.name, "enum value");
}

function declareMessage(collector: Collector, scope: string, message: DescriptorProto): void {
  const full = declare(collector, scope, message.name, "message", message);
  for (const field of message.field) declare(collector, full, field.name, "field");
  for (const oneof of message.oneofDecl) declare(collector, full, oneof.name, "oneof");
  for (const field of message.extension) declare(collector, full, field.name, "extension");
  for (const nested of message.nestedType) declareMessage(collector, full, nested);
  for (const nested of message.enumType) declareEnum(collector, full, nested);
}

function declarePackage({ file, symbols }: Collector, name: string): void {
  const parts = name === "" ? [] : name.slice(0, NAME_MAX + 1).split(".");
  if (name.length > NAME_MAX || !parts.every((part) => IDENTIFIER.test(part))) {
    throw new SchemaError(`${file}: ${quoteName(name)} is no package name`);
  }
  for (let count = 1; count <= parts.length; count++) {
    const prefix = parts.slice(0, count).join(".");
    const other = symbols.get(prefix);
    if (other !== undefined && other.kind !== "package") {
      const taken = `taken by a ${other.kind} of ${other.file}`;
      throw new SchemaError(`${file}: the name ${quoteName(prefix)} of a package is ${taken}`);
    }
    if (other === undefined) symbols.set(prefix, { kind: "package", file });
  }
}

/** Every name of the files. Throws SchemaError for an invalid or duplicate one. */
function collectSymbols(files: readonly FileDescriptorProto[]): Symbols {
  const symbols = new Map<string, DeclaredSymbol>();
  for (const file of files) {
    const collector = { file: file.name, symbols };
    declarePackage(collector, file.package);
    for (const message of file.messageType) declareMessage(collector, file.package, message);
    for (const declared of file.enumType) declareEnum(collector, file.package, declared);
    for (const field of file.extension) {
      declare(collector, file.package, field.name, "extension");
    }
    for (const service of file.service) declare(collector, file.package, service.name, "service");
  }
  return symbols;
}

/** The JSON name that Protobuf gives a field: `stop_time_update` becomes `stopTimeUpdate`. */
function jsonName(name: string): string {
  return name.replace(/_+(.)?/g, (_match, next: string | undefined) => next?.toUpperCase() ?? "");
}

function fillMessage(file: FileDescriptorProto, message: DescriptorProto): void {
  const seen = new Map<string, string>();
  for (const field of message.field) {
    if (field.jsonName === "") field.jsonName = jsonName(field.name);
    const other = seen.get(field.jsonName);
    // proto2 compilers only warn about this.
    if (other !== undefined && file.syntax !== "" && file.syntax !== "proto2") {
      throw new SchemaError(
        `${file.name}: fields ${quoteName(other)} and ${quoteName(field.name)} of message ` +
          `${quoteName(message.name)} have the same JSON name ${quoteName(field.jsonName)}`,
      );
    }
    seen.set(field.jsonName, field.name);
  }
  for (const nested of message.nestedType) fillMessage(file, nested);
}

/** Adds missing JSON names. Throws SchemaError if two fields share one. */
export function fillJsonNames(files: readonly FileDescriptorProto[]): void {
  for (const file of files) {
    for (const message of file.messageType) fillMessage(file, message);
  }
}

/** Lowest and highest value of the integer types. */
function boundsOf(scalar: ScalarType): readonly [bigint, bigint] {
  switch (scalar) {
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return [0n, 2n ** 32n - 1n];
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return [0n, 2n ** 64n - 1n];
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return [-(2n ** 63n), 2n ** 63n - 1n];
    default:
      return [-(2n ** 31n), 2n ** 31n - 1n];
  }
}

/** Whether a text is a value of a field's type, in the form of defaults in descriptors. */
function isValue(field: DescField, text: string): boolean {
  if (field.enum !== undefined) return field.enum.values.some(({ name }) => name === text);
  switch (field.scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return true;
    case ScalarType.BOOL:
      return text === "true" || text === "false";
    case ScalarType.FLOAT:
    case ScalarType.DOUBLE:
      return /^(-?inf|-?nan|-?[0-9]*\.?[0-9]+(e[+-]?[0-9]+)?|-?[0-9]+\.)$/i.test(text);
    case undefined:
      return false;
  }
  if (!/^-?[0-9]{1,20}$/.test(text)) return false;
  const [low, high] = boundsOf(field.scalar);
  return BigInt(text) >= low && BigInt(text) <= high;
}

function checkDefault(message: DescMessage, field: DescField): void {
  if (!isFieldSet(field.proto, FieldDescriptorProtoSchema.field.defaultValue)) return;
  const text = quoteName(field.proto.defaultValue);
  const place = `${message.file.proto.name}: field ${message.typeName}.${field.name}`;
  if (field.fieldKind !== "scalar" && field.fieldKind !== "enum") {
    throw new SchemaError(`${place} has a default value, which its type cannot have`);
  }
  if (message.file.edition === Edition.EDITION_PROTO3) {
    throw new SchemaError(`${place} has a default value, which proto3 does not know`);
  }
  if (!isValue(field, field.proto.defaultValue)) {
    throw new SchemaError(`${place} has the default value ${text}, which is none of its type`);
  }
}

/** Throws SchemaError if a default value does not have its field's type. */
export function checkDefaults(registry: FileRegistry): void {
  for (const type of registry) {
    if (type.kind !== "message") continue;
    for (const field of type.fields) checkDefault(type, field);
  }
}

function byName(files: readonly FileDescriptorProto[]): Map<string, FileDescriptorProto> {
  const found = new Map<string, FileDescriptorProto>();
  for (const file of files) {
    if (file.name === "" || file.name.length > 1_024) {
      throw new SchemaError(
        "a file of the descriptor set has no name, or one above 1024 characters",
      );
    }
    if (found.has(file.name)) {
      throw new SchemaError(`file ${quoteName(file.name)} is in the descriptor set twice`);
    }
    found.set(file.name, file);
  }
  return found;
}

/** The most edges between files; each costs time in all later steps. */
const IMPORTS_MAX = 20_000;

function checkImports(files: readonly FileDescriptorProto[]): void {
  let count = 0;
  for (const file of files) {
    count += file.dependency.length;
    if (count > IMPORTS_MAX) {
      throw new SchemaError(`the descriptor set has more than ${IMPORTS_MAX} imports`);
    }
    if (new Set(file.dependency).size < file.dependency.length) {
      throw new SchemaError(`file ${quoteName(file.name)} imports a file twice`);
    }
  }
}

function missing(file: FileDescriptorProto, dependency: string): SchemaError {
  return new SchemaError(
    `file ${quoteName(file.name)} imports ${quoteName(dependency)}, which is not in the ` +
      `descriptor set; build it with its imports`,
  );
}

/**
 * The files, each after its imports, otherwise in the given order. Throws SchemaError for a file without a name or
 * twice, a missing import and an import cycle.
 */
export function orderFiles(files: readonly FileDescriptorProto[]): FileDescriptorProto[] {
  const known = byName(files);
  checkImports(files);
  const ordered = new Set<FileDescriptorProto>();
  const path: string[] = [];
  const visit = (file: FileDescriptorProto): void => {
    if (ordered.has(file)) return;
    const earlier = path.indexOf(file.name);
    if (earlier >= 0) {
      const cycle = [...path.slice(earlier), file.name];
      const shown = cycle.length > 12 ? [...cycle.slice(0, 10), "…", ...cycle.slice(-1)] : cycle;
      throw new SchemaError(`files import each other in a circle: ${shown.join(" → ")}`);
    }
    path.push(file.name);
    for (const dependency of file.dependency) {
      const imported = known.get(dependency);
      if (imported === undefined) throw missing(file, dependency);
      visit(imported);
    }
    path.pop();
    ordered.add(file);
  };
  for (const file of files) visit(file);
  return [...ordered];
}

/** The files whose types each file may use: itself, its imports, and their public imports. */
function visibleFiles(
  ordered: readonly FileDescriptorProto[],
): Map<string, ReadonlySet<string>> {
  const reexports = new Map<string, ReadonlySet<string>>();
  const visible = new Map<string, ReadonlySet<string>>();
  for (const file of ordered) {
    const reach = (names: readonly string[]) =>
      new Set([file.name, ...names, ...names.flatMap((name) => [...reexports.get(name) ?? []])]);
    const publicly = file.publicDependency.flatMap((index) => file.dependency[index] ?? []);
    reexports.set(file.name, reach(publicly));
    visible.set(file.name, reach(file.dependency));
  }
  return visible;
}
