/**
 * Returns the Shield's result for a payload to `payloads_by_upb.py`. The first line of stdout is a descriptor set in
 * hexadecimal. Then each line of stdin is `E HEX` (an envelope), `B TYPE HEX` (the binary form of a message) or `J TYPE
 * HEX` (its ProtoJSON in UTF-8); the answer on stdout is `+ HEX`, the message as protobuf-es decodes and encodes it, or
 * `- WHY`.
 */
import { createInterface } from "node:readline";
import process from "node:process";
import { create, type DescMessage, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { FileRegistry } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { DecodeError, scanEnvelope } from "@arqon/proto";
import { EnvelopeSchema } from "../../proto/testing/schemas.ts";
import { RequiredFields, validateJsonText } from "../../shield/schema/validation/json.ts";
import { compileMessage, SCHEMA_LIMITS } from "../../shield/schema/validation/message_schema.ts";
import type { MessageSchema } from "../../shield/schema/validation/message_schema.ts";
import { MessageWork } from "../../shield/schema/validation/validate_table.ts";
import { readersSchema } from "../../shield/schema/testing/readers.ts";

const LIMITS = { headers: 64, header_bytes: 16_384, field_bytes: 256 };
const ALLOW = { unknown_fields: "allow" } as const;

const registry: FileRegistry = readersSchema();
const required = new RequiredFields(registry);
const schemas = new Map<string, MessageSchema>();

function envelope(bytes: Uint8Array): string {
  try {
    scanEnvelope(bytes, LIMITS);
  } catch (error) {
    if (error instanceof DecodeError) return `- ${error.message}`;
    throw error;
  }
  return `+ ${toBinary(EnvelopeSchema, fromBinary(EnvelopeSchema, bytes)).toHex()}`;
}

const written = (desc: DescMessage, bytes: Uint8Array) =>
  toBinary(desc, fromBinary(desc, bytes)).toHex();

function binary(desc: DescMessage, bytes: Uint8Array): string {
  const schema = schemas.get(desc.typeName) ?? compileMessage(registry, desc.typeName);
  schemas.set(desc.typeName, schema);
  const { violations: [first] } = schema.validate(bytes, ALLOW);
  return first === undefined ? `+ ${written(desc, bytes)}` : `- ${first.rule} ${first.message}`;
}

function json(desc: DescMessage, text: Uint8Array): string {
  const context = {
    desc,
    registry,
    required,
    work: new MessageWork(SCHEMA_LIMITS),
    limits: SCHEMA_LIMITS,
  };
  const { validation, message } = validateJsonText(context, text, "refuse");
  if (message !== undefined) return `+ ${toBinary(desc, message).toHex()}`;
  return `- ${validation.violations[0]?.message}`;
}

const file = Array.from(registry.files, ({ proto }) => proto);
console.log(toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file })).toHex());
for await (const line of createInterface({ input: process.stdin })) {
  const [kind, ...rest] = line.split(" ");
  const bytes = Uint8Array.fromHex(rest.at(-1) ?? "");
  const desc = registry.getMessage(rest[0] ?? "");
  const answer = kind === "E" || desc === undefined
    ? envelope(bytes)
    : kind === "B"
    ? binary(desc, bytes)
    : json(desc, bytes);
  console.log(answer.replaceAll("\n", " "));
}
