/**
 * `arq reducer types`: generates types from the schema of a room program, for clients in TypeScript and Python and for
 * the reducer in AssemblyScript. It needs no bus.
 */
import { parseRoomSchema, schemaOf } from "../../../wasm/reducer/schema/room_schema.ts";
import type { RoomSchema } from "../../../wasm/reducer/schema/room_schema.ts";
import { kindsOf, listedBy, refOf, SchemaError } from "../../../wasm/reducer/schema/shape.ts";
import type { Shape } from "../../../wasm/reducer/schema/shape.ts";
import { guestTypes, noteText, pascal, TypeNames } from "../../reducers/types/guest_types.ts";
import type { TypeSource } from "../../reducers/types/guest_types.ts";
import { pythonTypes } from "../../reducers/types/python_types.ts";
import { CommandError, EXIT, failed, printable, usageError } from "../../terminal/exit.ts";
import { readInput, readText, writeOutput } from "../../terminal/input.ts";
import type { Ended, Io } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";

const SCALARS: Readonly<Record<string, string>> = {
  string: "string",
  integer: "number",
  number: "number",
  boolean: "boolean",
  null: "null",
};

const nameText = (name: string) => /^[A-Za-z_]\w*$/.test(name) ? name : JSON.stringify(name);

function commentOf(description: string | undefined, indent: string): string {
  const note = noteText(description ?? "");
  return note === "" ? "" : `${indent}/** ${note} */\n`;
}

class Writer {
  readonly #names: ReadonlyMap<string, string>;

  constructor(names: ReadonlyMap<string, string>) {
    this.#names = names;
  }

  typeOf(shape: Shape, indent: string): string {
    const ref = refOf(shape);
    if (ref !== undefined) return this.#names.get(ref)!;
    const listed = listedBy(shape);
    if (listed !== undefined) return listed.map((one) => JSON.stringify(one)).join(" | ");
    return kindsOf(shape).map((kind) => {
      if (kind === "object") return this.#objectOf(shape, indent);
      if (kind === "array") return this.#arrayOf(shape, indent);
      return SCALARS[kind]!;
    }).join(" | ");
  }

  #arrayOf({ items }: Shape, indent: string): string {
    return `readonly (${items === undefined ? "unknown" : this.typeOf(items, indent)})[]`;
  }

  #objectOf(shape: Shape, indent: string): string {
    const { properties = {}, required = [], additionalProperties: others = true } = shape;
    const names = Object.keys(properties);
    if (names.length === 0) {
      if (others === false) return "Readonly<Record<string, never>>";
      const value = others === true ? "unknown" : this.typeOf(others, indent);
      return `Readonly<Record<string, ${value}>>`;
    }
    return this.members(
      names.map((name) => [
        `${nameText(name)}${required.includes(name) ? "" : "?"}`,
        properties[name]!.description,
        this.typeOf(properties[name]!, `${indent}  `),
      ]),
      indent,
    );
  }

  /** A type with these members: name, description, type. */
  members(
    all: readonly (readonly [name: string, note: string | undefined, type: string])[],
    indent: string,
  ): string {
    if (all.length === 0) return "Readonly<Record<never, never>>";
    const lines = all.map(([name, note, type]) =>
      `${commentOf(note, `${indent}  `)}${indent}  readonly ${name}: ${type};\n`
    );
    return `{\n${lines.join("")}${indent}}`;
  }
}

/** A key of values as a member: `bids/*` is every key with that prefix. */
const keyText = (key: string) =>
  key.endsWith("*")
    ? `[key: \`${key.slice(0, -1).replaceAll(/[\\`$]/g, "\\$&")}\${string}\`]`
    : nameText(key);

function typescriptTypes(schema: RoomSchema, { source, name }: TypeSource): string {
  const { commands, events = {}, values = {}, $defs = {} } = schema;
  const names = new TypeNames([name]);
  const definitions = new Map(Object.keys($defs).map((one) => [one, names.take(pascal(one))]));
  const writer = new Writer(definitions);
  const types = Object.entries($defs).map(([one, shape]) => {
    const note = commentOf(shape.description ?? `\`${one}\` of the schema.`, "");
    return `${note}export type ${definitions.get(one)} = ${writer.typeOf(shape, "")};\n\n`;
  });
  const indent = "  ";
  const calls = Object.entries(commands).map(([command, { description, data, answer }]) => {
    const given = data === undefined ? "undefined" : writer.typeOf(data, "    ");
    const answered = answer === undefined ? "null" : writer.typeOf(answer, "    ");
    return [
      nameText(command),
      description,
      `readonly [data: ${given}, answer: ${answered}]`,
    ] as const;
  });
  const shapes = (all: Readonly<Record<string, Shape>>, keyOf: (name: string) => string) =>
    Object.entries(all).map(([one, shape]) =>
      [keyOf(one), shape.description, writer.typeOf(shape, "    ")] as const
    );
  const room = writer.members([
    ["commands", "Data and answers of the commands.", writer.members(calls, indent)],
    ["events", "Data of the messages.", writer.members(shapes(events, nameText), indent)],
    ["values", "The visible values.", writer.members(shapes(values, keyText), indent)],
  ], "");
  const made = `from ${noteText(source)} by \`arq reducer types\``;
  const head = `// Generated ${made}: change that and run it again.\n\n`;
  const note = commentOf(schema.description ?? "The room.", "");
  return `${head}${types.join("")}${note}export type ${name} = ${room};\n`;
}

async function schemaIn(io: Io, file: string): Promise<RoomSchema> {
  const bytes = await readInput(io, file);
  try {
    if (!/\.wasm$/i.test(file)) return parseRoomSchema(bytes);
    const schema = schemaOf(bytes);
    if (schema !== undefined) return schema;
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    throw new CommandError(`${file}: ${printable(error.message)}`);
  }
  const hint = "arq reducer build puts NAME.schema.json into NAME.wasm, when it is beside NAME.ts";
  throw failed(`${file} has no schema`, hint);
}

function makerOf({ out, guest }: Flags<"out">) {
  if (guest === true && /\.ts$/.test(out)) return guestTypes;
  if (guest !== true && /\.ts$/.test(out)) return typescriptTypes;
  if (guest !== true && /\.py$/.test(out)) return pythonTypes;
  const wanted = guest === true ? ".ts, for --guest is AssemblyScript" : ".ts or .py";
  throw usageError(`--out ${out}: expected a file that ends in ${wanted}`);
}

/** Generates the types. Returns 1 when `check` is given and the file differs. */
export async function reducerTypes(io: Io, file: string, flags: Flags<"out">): Promise<Ended> {
  const make = makerOf(flags);
  const schema = await schemaIn(io, file);
  const source = file.slice(file.lastIndexOf("/") + 1);
  const name = pascal(schema.title ?? source.replace(/(\.schema)?\.\w+$/, ""));
  const text = make(schema, { source, name });
  if (flags.check === true) {
    const found = await readText(io, flags.out);
    if (found === text) return EXIT.ok;
    const hint = "generate it again, without --check";
    throw failed(`${flags.out} differs from what ${file} generates`, hint);
  }
  await writeOutput(io, flags.out, new TextEncoder().encode(text));
  const names = Object.keys(schema.commands);
  const commands = names.map(printable).join(", ");
  return {
    json: { file: flags.out, name, commands: names },
    text: `${flags.out}: ${name}${commands && `, with ${commands}`}\n`,
  };
}
