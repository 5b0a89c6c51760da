/**
 * `arq schema validate`: asks a bus for its verdict on a payload. With `--local` it makes the same check on this
 * machine. It publishes nothing.
 */
import {
  readDescriptorSet,
  SchemaError,
} from "../../../shared/schema/descriptors/descriptor_set.ts";
import { compileMessage } from "../../../shield/schema/validation/message_schema.ts";
import { findAdmin } from "../../bus/admin.ts";
import { CommandError, EXIT, usageError } from "../../terminal/exit.ts";
import { readInput } from "../../terminal/input.ts";
import type { Ended, Io } from "../../terminal/io.ts";
import { SchemaBuildError } from "../../schemas/schema_build.ts";
import { painter, validationText } from "../../answers/schema_text.ts";
import { readSchema, schemaPath, tellBuildProblems } from "./schema_push.ts";
import type { Flags } from "../../program/flags.ts";

const isJson = (file: string, type: string | undefined) =>
  type === undefined ? /\.json$/i.test(file) : /^application\/json\b/i.test(type);

async function onBus(
  io: Io,
  id: string,
  file: string,
  flags: Flags<"message" | "unknown">,
): Promise<Record<string, unknown>> {
  const { message, version, unknown: unknown_fields } = flags;
  const body = await readInput(io, file);
  return await (await findAdmin(io, flags)).ask({
    method: "POST",
    path: schemaPath(id, "/validate", { message, unknown_fields, version }),
    body,
    content_type: isJson(file, flags.contentType) ? "application/json" : "application/protobuf",
  });
}

async function here(
  io: Io,
  source: string,
  file: string,
  flags: Flags<"message" | "unknown">,
): Promise<Record<string, unknown>> {
  const data = await readInput(io, file);
  const set = await readSchema(io, source);
  try {
    const message = compileMessage(readDescriptorSet(set).registry, flags.message);
    const options = { unknown_fields: flags.unknown };
    const found = isJson(file, flags.contentType)
      ? message.validateJson(data, options)
      : message.validate(data, options);
    return { message: flags.message, valid: found.total === 0, ...found };
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    throw new CommandError(`${source}: ${error.message}`);
  }
}

/** Prints the violations in the bytes of a file. Returns 1 when there is one. */
export async function schemaValidate(
  io: Io,
  file: string,
  flags: Flags<"message" | "unknown">,
): Promise<Ended> {
  const { id, local, json = false } = flags;
  if ((id === undefined) === (local === undefined)) {
    throw usageError("give either --id, a schema of the bus, or --local, a folder or set here");
  }
  if (local !== undefined && flags.version !== undefined) {
    throw usageError("--version is of a schema of the bus: give it with --id");
  }
  let answer: Record<string, unknown>;
  try {
    answer = local === undefined
      ? await onBus(io, id as string, file, flags)
      : await here(io, local, file, flags);
  } catch (error) {
    if (!(error instanceof SchemaBuildError)) throw error;
    return await tellBuildProblems(io, local ?? "", error, json);
  }
  return {
    json: { file, ...answer },
    text: validationText(file, answer, painter(io.stdout.has_color)),
    code: answer["valid"] === true ? EXIT.ok : EXIT.failure,
  };
}
