/**
 * The names that a descriptor set declares. Protobuf has one namespace for everything: packages, messages, fields,
 * enums and, beside their enum, enum values.
 */
import type {
  DescriptorProto,
  EnumDescriptorProto,
  FileDescriptorProto,
} from "@bufbuild/protobuf/wkt";
import { quoteName, SchemaError } from "../schema_error.ts";

interface DeclaredSymbol {
  readonly kind: string;
  readonly file: string;
  readonly message?: DescriptorProto;
}
/** What each full name, without a leading dot, denotes. */
export type Symbols = ReadonlyMap<string, DeclaredSymbol>;

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
export function collectSymbols(files: readonly FileDescriptorProto[]): Symbols {
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
