/**
 * Optional parts of a descriptor: JSON names are computed if the compiler did not write them, and default values, which
 * are text in a descriptor, must parse.
 */
import {
  type DescField,
  type DescMessage,
  type FileRegistry,
  isFieldSet,
  ScalarType,
} from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  Edition,
  FieldDescriptorProtoSchema,
  type FileDescriptorProto,
} from "@bufbuild/protobuf/wkt";
import { quoteName, SchemaError } from "../schema_error.ts";

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
