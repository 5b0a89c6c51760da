/**
 * `arq reducer types`: makes types of the schema of a room that is a program, for clients in TypeScript and Python and
 * for the reducer in AssemblyScript. It needs no bus.
 */
import { parseRoomSchema, schemaOf } from "../../../wasm/reducer/schema/room_schema.ts";
import type { RoomSchema } from "../../../wasm/reducer/schema/room_schema.ts";
import { SchemaError } from "../../../wasm/reducer/schema/shape.ts";
import { guestTypes } from "../../reducers/types/guest_types.ts";
import { pythonTypes } from "../../reducers/types/python_types.ts";
import { pascal } from "../../reducers/types/type_names.ts";
import { typescriptTypes } from "../../reducers/types/typescript_types.ts";
import { cannotWrite, CommandError, EXIT, printable, usageError } from "../../terminal/exit.ts";
import { readInput } from "../../terminal/input.ts";
import { print, resolvePath } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";

async function schemaIn(io: Io, file: string): Promise<RoomSchema> {
  const bytes = await readInput(io, file);
  try {
    if (!/\.wasm$/i.test(file)) return parseRoomSchema(bytes);
    const schema = schemaOf(bytes);
    if (schema !== undefined) return schema;
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    throw new CommandError(`${file}: ${printable(error.message)}`, EXIT.failure);
  }
  const hint = "arq reducer build puts NAME.schema.json into NAME.wasm, when it is beside NAME.ts";
  throw new CommandError(`${file} has no schema`, EXIT.failure, hint);
}

function makerOf({ out, guest }: Flags<"out">) {
  if (guest === true && /\.ts$/.test(out)) return guestTypes;
  if (guest !== true && /\.ts$/.test(out)) return typescriptTypes;
  if (guest !== true && /\.py$/.test(out)) return pythonTypes;
  const wanted = guest === true ? ".ts, for --guest is AssemblyScript" : ".ts or .py";
  throw usageError(`--out ${out}: expected a file that ends in ${wanted}`);
}

/** Makes the types. Returns 1 when `check` is given and the file is another. */
export async function reducerTypes(
  io: Io,
  file: string,
  flags: Flags<"out">,
): Promise<number> {
  const make = makerOf(flags);
  const schema = await schemaIn(io, file);
  const source = file.slice(file.lastIndexOf("/") + 1);
  const name = pascal(schema.title ?? source.replace(/(\.schema)?\.\w+$/, ""));
  const text = make(schema, { source, name });
  if (flags.check === true) {
    const found = new TextDecoder().decode(await readInput(io, flags.out));
    if (found === text) return EXIT.ok;
    const hint = "make it anew, without --check";
    throw new CommandError(`${flags.out} is not what ${file} makes`, EXIT.failure, hint);
  }
  const path = resolvePath(io.cwd, flags.out);
  try {
    await io.files.write(path, new TextEncoder().encode(text));
  } catch (error) {
    throw cannotWrite(path, error);
  }
  const names = Object.keys(schema.commands);
  if (flags.json === true) {
    await print(io.stdout, `${JSON.stringify({ file: flags.out, name, commands: names })}\n`);
    return EXIT.ok;
  }
  const commands = names.map(printable).join(", ");
  await print(io.stdout, `${flags.out}: ${name}${commands && `, with ${commands}`}\n`);
  return EXIT.ok;
}
