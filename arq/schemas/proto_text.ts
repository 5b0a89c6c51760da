/**
 * A file descriptor as `.proto` text that compiles to the same descriptor again, without its comments.
 * Pure; options are `proto_options.ts`.
 */
import { isFieldSet } from "@bufbuild/protobuf";
import type { DescFile, DescMessage, Message, Registry } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  EnumOptionsSchema,
  EnumValueOptionsSchema,
  ExtensionRangeOptionsSchema,
  type FieldDescriptorProto,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FieldDescriptorProtoSchema,
  FieldOptionsSchema,
  type FileDescriptorProto,
  FileOptionsSchema,
  MessageOptionsSchema,
  MethodOptionsSchema,
  type OneofDescriptorProto,
  OneofOptionsSchema,
  type ServiceDescriptorProto,
  ServiceOptionsSchema,
  SymbolVisibility,
} from "@bufbuild/protobuf/wkt";
import { OptionReader, ProtoNames, quoted, type Setting, valueText } from "./proto_options.ts";

const FIELD_NUMBER_MAX = 536_870_911;
const ENUM_NUMBER_MAX = 2_147_483_647;
const LINE_CHARS = 100;
/** The modifier before a message or an enum (edition 2024). */
const VISIBILITY: Readonly<Record<SymbolVisibility, string>> = {
  [SymbolVisibility.VISIBILITY_UNSET]: "",
  [SymbolVisibility.VISIBILITY_LOCAL]: "local ",
  [SymbolVisibility.VISIBILITY_EXPORT]: "export ",
};

const join = (scope: string, name: string) => scope === "" ? name : `${scope}.${name}`;

/** The JSON name that protoc and buf make from the name of a field. */
function jsonNameOf(name: string): string {
  return name.replace(/_+(.?)/g, (_, next: string) => next.toUpperCase());
}

class FileText {
  readonly #file: FileDescriptorProto;
  readonly #names: ProtoNames;
  readonly #options: OptionReader;
  readonly #package: string;
  readonly #edition: string;
  #lines: string[] = [];
  #indent = "";

  constructor(file: DescFile, registry: Registry) {
    this.#file = file.proto;
    this.#names = new ProtoNames(registry);
    this.#options = new OptionReader(registry, this.#names);
    this.#package = file.proto.package;
    this.#edition = file.proto.syntax === "editions"
      ? String(file.proto.edition)
      : file.proto.syntax;
  }

  text(): string {
    const { dependency, publicDependency, weakDependency, optionDependency, options } = this.#file;
    this.#line(
      this.#file.syntax === "editions"
        ? `edition = "${editionName(this.#file.edition)}";`
        : `syntax = "${this.#file.syntax || "proto2"}";`,
    );
    if (this.#package !== "") this.#part([`package ${this.#package};`]);
    const imports = dependency.map((path, at) => {
      const kind = publicDependency.includes(at)
        ? "public "
        : weakDependency.includes(at)
        ? "weak "
        : "";
      return `import ${kind}${quoted(path)};`;
    });
    imports.push(...optionDependency.map((path) => `import option ${quoted(path)};`));
    this.#part(imports);
    const settings = this.#options.read(FileOptionsSchema, options, this.#package);
    this.#part(settings.map((setting) => `option ${this.#setting(setting)};`));
    this.#declarations(this.#file, this.#package);
    for (const service of this.#file.service) this.#service(service);
    return `${this.#lines.join("\n")}\n`;
  }

  #line(text: string): void {
    this.#lines.push(text === "" ? "" : this.#indent + text);
  }

  /** Adds lines with an empty line before them. */
  #part(lines: readonly string[]): void {
    if (lines.length === 0) return;
    this.#gap();
    for (const line of lines) this.#line(line);
  }

  /** Adds an empty line, unless a block begins here. */
  #gap(): void {
    const last = this.#lines.at(-1) ?? "";
    if (last !== "" && !last.endsWith("{")) this.#line("");
  }

  #block(head: string, inside: () => void): void {
    this.#line(`${head} {`);
    const opened = this.#lines.length;
    this.#indent += "  ";
    inside();
    this.#indent = this.#indent.slice(2);
    if (this.#lines.length === opened) this.#lines[opened - 1] += "}";
    else this.#line("}");
  }

  #setting([name, value]: Setting, indent = this.#indent): string {
    return `${name} = ${valueText(value, indent, indent.length + name.length + 12)}`;
  }

  #statements(desc: DescMessage, options: Message | undefined, scope: string): void {
    for (const setting of this.#options.read(desc, options, scope)) {
      this.#line(`option ${this.#setting(setting)};`);
    }
  }

  /** The settings in brackets: ` [a = 1, b = 2]`; "" when there are none. */
  #brackets(head: string, settings: readonly Setting[]): string {
    if (settings.length === 0) return "";
    const flat = settings.map((setting) => this.#setting(setting, "")).join(", ");
    if (!flat.includes("\n") && this.#indent.length + head.length + flat.length < LINE_CHARS - 4) {
      return ` [${flat}]`;
    }
    const inner = `${this.#indent}  `;
    const lines = settings.map((setting) => inner + this.#setting(setting, inner));
    return ` [\n${lines.join(",\n")}\n${this.#indent}]`;
  }

  /** Writes the declarations that files and messages both have: enums, messages, extensions. */
  #declarations(
    at: {
      enumType: readonly EnumDescriptorProto[];
      extension: readonly FieldDescriptorProto[];
    } & ({ messageType: readonly DescriptorProto[] } | { nestedType: readonly DescriptorProto[] }),
    scope: string,
  ): void {
    const messages = "messageType" in at ? at.messageType : at.nestedType;
    for (const one of at.enumType) this.#enum(one, scope);
    const groups = this.#groupNames("field" in at ? at.field as FieldDescriptorProto[] : []);
    for (const name of this.#groupNames(at.extension)) groups.add(name);
    for (const message of messages) {
      const is_own = message.options?.mapEntry === true || groups.has(join(scope, message.name));
      if (is_own) continue;
      this.#gap();
      this.#block(
        `${VISIBILITY[message.visibility]}message ${message.name}`,
        () => this.#message(message, join(scope, message.name)),
      );
    }
    this.#extensions(at.extension, messages, scope);
  }

  #groupNames(fields: readonly FieldDescriptorProto[]): Set<string> {
    return new Set(
      fields.filter(({ type }) => type === Type.GROUP).map(({ typeName }) => typeName.slice(1)),
    );
  }

  #extensions(
    fields: readonly FieldDescriptorProto[],
    nested: readonly DescriptorProto[],
    scope: string,
  ): void {
    // Only neighbours share a block, to preserve the order.
    for (let at = 0; at < fields.length;) {
      const { extendee } = fields[at] as FieldDescriptorProto;
      let end = at;
      while (fields[end]?.extendee === extendee) end++;
      this.#gap();
      this.#block(`extend ${this.#names.short(extendee.slice(1), scope)}`, () => {
        for (const field of fields.slice(at, end)) this.#field(field, nested, scope);
      });
      at = end;
    }
  }

  #message(message: DescriptorProto, scope: string): void {
    this.#statements(MessageOptionsSchema, message.options, scope);
    const range = (start: number, end: number) =>
      end - 1 === start
        ? String(start)
        : `${start} to ${end - 1 >= FIELD_NUMBER_MAX ? "max" : end - 1}`;
    for (const { start, end, options } of message.extensionRange) {
      const head = `extensions ${range(start, end)}`;
      const settings = this.#options.read(ExtensionRangeOptionsSchema, options, scope);
      this.#line(`${head}${this.#brackets(head, settings)};`);
    }
    this.#reserved(message.reservedRange.map(({ start, end }) => range(start, end)), message);
    const seen = new Set<number>();
    for (const field of message.field) {
      const { oneofIndex, proto3Optional } = field;
      const oneof = !isSet(field, "oneofIndex") || proto3Optional
        ? undefined
        : message.oneofDecl[oneofIndex];
      if (oneof === undefined) this.#field(field, message.nestedType, scope);
      else if (!seen.has(oneofIndex)) {
        seen.add(oneofIndex);
        const members = message.field.filter((other) =>
          isSet(other, "oneofIndex") && other.oneofIndex === oneofIndex
        );
        this.#oneof(oneof, members, message.nestedType, scope);
      }
    }
    this.#declarations(message, scope);
  }

  #reserved(
    ranges: readonly string[],
    { reservedName }: { reservedName: readonly string[] },
  ): void {
    if (ranges.length > 0) this.#line(`reserved ${ranges.join(", ")};`);
    if (reservedName.length === 0) return;
    const names = this.#file.syntax === "editions" ? reservedName : reservedName.map(quoted);
    this.#line(`reserved ${names.join(", ")};`);
  }

  #oneof(
    oneof: OneofDescriptorProto,
    members: readonly FieldDescriptorProto[],
    nested: readonly DescriptorProto[],
    scope: string,
  ): void {
    this.#block(`oneof ${oneof.name}`, () => {
      this.#statements(OneofOptionsSchema, oneof.options, scope);
      for (const field of members) this.#field(field, nested, scope, true);
    });
  }

  #label({ label, proto3Optional }: FieldDescriptorProto, in_oneof: boolean): string {
    if (label === Label.REPEATED) return "repeated ";
    if (proto3Optional) return "optional ";
    if (in_oneof || (this.#edition !== "" && this.#edition !== "proto2")) return "";
    return label === Label.REQUIRED ? "required " : "optional ";
  }

  #field(
    field: FieldDescriptorProto,
    nested: readonly DescriptorProto[],
    scope: string,
    in_oneof = false,
  ): void {
    const target = nested.find(({ name }) => join(scope, name) === field.typeName.slice(1));
    const [key, value] = target?.options?.mapEntry === true ? target.field : [];
    const is_group = field.type === Type.GROUP && target !== undefined;
    const type = key !== undefined && value !== undefined
      ? `map<${this.#type(key, scope)}, ${this.#type(value, scope)}> ${field.name}`
      : is_group
      ? `${this.#label(field, in_oneof)}group ${target.name}`
      : `${this.#label(field, in_oneof)}${this.#type(field, scope)} ${field.name}`;
    const head = `${type} = ${field.number}`;
    const settings = [
      ...this.#pseudoOptions(field),
      ...this.#options.read(FieldOptionsSchema, field.options, scope),
    ];
    const line = `${head}${this.#brackets(head, settings)}`;
    if (is_group) this.#block(line, () => this.#message(target, join(scope, target.name)));
    else this.#line(`${line};`);
  }

  /** The default and the JSON name of a field, which are written like options. */
  #pseudoOptions(field: FieldDescriptorProto): Setting[] {
    const settings: Setting[] = [];
    if (isSet(field, "defaultValue")) {
      const { type, defaultValue } = field;
      const text = type === Type.STRING
        ? quoted(defaultValue)
        : type === Type.BYTES
        ? `"${defaultValue}"`
        : defaultValue;
      settings.push(["default", text]);
    }
    const has_own = field.jsonName !== "" && field.jsonName !== jsonNameOf(field.name);
    // An extension has no JSON name of its own.
    if (has_own && field.extendee === "") settings.push(["json_name", quoted(field.jsonName)]);
    return settings;
  }

  #type({ type, typeName }: FieldDescriptorProto, scope: string): string {
    return typeName === "" ? Type[type].toLowerCase() : this.#names.short(typeName.slice(1), scope);
  }

  #enum(desc: EnumDescriptorProto, scope: string): void {
    this.#gap();
    const inside = join(scope, desc.name);
    this.#block(`${VISIBILITY[desc.visibility]}enum ${desc.name}`, () => {
      this.#statements(EnumOptionsSchema, desc.options, inside);
      const ranges = desc.reservedRange.map(({ start, end }) =>
        start === end ? String(start) : `${start} to ${end === ENUM_NUMBER_MAX ? "max" : end}`
      );
      this.#reserved(ranges, desc);
      for (const { name, number, options } of desc.value) {
        const head = `${name} = ${number}`;
        const settings = this.#options.read(EnumValueOptionsSchema, options, inside);
        this.#line(`${head}${this.#brackets(head, settings)};`);
      }
    });
  }

  #service({ name, method, options }: ServiceDescriptorProto): void {
    const scope = join(this.#package, name);
    this.#gap();
    this.#block(`service ${name}`, () => {
      this.#statements(ServiceOptionsSchema, options, scope);
      for (const one of method) {
        const type = (full: string, stream: boolean) =>
          `(${stream ? "stream " : ""}${this.#names.short(full.slice(1), scope)})`;
        const taken = type(one.inputType, one.clientStreaming);
        const head = `rpc ${one.name}${taken} returns ${type(one.outputType, one.serverStreaming)}`;
        const settings = this.#options.read(MethodOptionsSchema, one.options, scope);
        if (settings.length === 0) this.#line(`${head};`);
        else this.#block(head, () => this.#statements(MethodOptionsSchema, one.options, scope));
      }
    });
  }
}

function isSet(message: FieldDescriptorProto, field: "oneofIndex" | "defaultValue"): boolean {
  return isFieldSet(message, FieldDescriptorProtoSchema.field[field]);
}

function editionName(edition: number): string {
  return edition < 1_000 || edition > 9_999 ? String(edition) : String(edition + 1_023);
}

/** The text of a file. The registry must hold the file's imports, for types and options. */
export function protoText(file: DescFile, registry: Registry): string {
  return new FileText(file, registry).text();
}
