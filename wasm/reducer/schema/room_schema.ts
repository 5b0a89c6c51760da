/**
 * The schema of a room that is a program: its commands with their data and answers, its events, its values. It is
 * JSON in the module's custom section `arqon_schema`, so that it is deployed, stored and rolled back with the module.
 * Pure.
 */
import { Writer } from "../../module/writer.ts";
import {
  checkShape,
  isObject,
  refOf,
  resolved,
  SchemaError,
  type Shape,
  shownText,
  textOf,
} from "./shape.ts";

/** A command. */
export interface CommandSchema {
  readonly description?: string;
  /** Absent: it has no data. */
  readonly data?: Shape;
  /** Absent: it has no answer. */
  readonly answer?: Shape;
}

/** A schema of a room. */
export interface RoomSchema {
  /** The name of the room's kind, for the names of types. */
  readonly title?: string;
  readonly description?: string;
  /** All commands that users may send. */
  readonly commands: Readonly<Record<string, CommandSchema>>;
  /** The data of events, by their types. */
  readonly events?: Readonly<Record<string, Shape>>;
  /** The visible values, by their keys; a key with `*` at its end is a prefix. */
  readonly values?: Readonly<Record<string, Shape>>;
  readonly $defs?: Readonly<Record<string, Shape>>;
}

/** The name of the custom section. */
const SECTION = "arqon_schema";
const SCHEMA_BYTES = 65_536;
const WORDS = ["$schema", "title", "description", "commands", "events", "values", "$defs"];
const COMMAND_WORDS = ["description", "data", "answer"];
const NAMES_MAX = 1_000;
const NAME_MAX = 256;
const DEF = /^[A-Za-z_][A-Za-z0-9_]*$/;

function requireWords(value: Readonly<Record<string, unknown>>, words: readonly string[], at = "") {
  const unknown = Object.keys(value).find((word) => !words.includes(word));
  if (unknown === undefined) return;
  const where = at && `${at}: `;
  throw new SchemaError(`${where}${shownText(unknown)} is none of ${words.join(", ")}`);
}

function entriesOf(value: unknown, at: string): [string, unknown][] {
  if (value === undefined) return [];
  if (!isObject(value)) throw new SchemaError(`${at}: expected an object`);
  const entries = Object.entries(value);
  if (entries.length > NAMES_MAX) throw new SchemaError(`${at}: more than ${NAMES_MAX} names`);
  for (const [name] of entries) {
    if (name.length > 0 && name.length <= NAME_MAX && name.isWellFormed()) continue;
    throw new SchemaError(`${at}: a name has 1 to ${NAME_MAX} characters, not ${shownText(name)}`);
  }
  return entries;
}

/** Throws if a definition refers to itself through others, or is missing. */
function checkNames($defs: Readonly<Record<string, Shape>>, used: readonly string[]): void {
  const missing = used.find((name) => !Object.hasOwn($defs, name));
  if (missing !== undefined) throw new SchemaError(`$defs: there is no ${shownText(missing)}`);
  const ending = new Set<string>();
  for (const first of Object.keys($defs)) {
    const seen = new Set<string>();
    for (
      let name: string | undefined = first;
      name !== undefined && !ending.has(name);
      name = refOf($defs[name]!)
    ) {
      if (seen.has(name)) throw new SchemaError(`$defs.${first}: it is named by itself`);
      seen.add(name);
    }
    for (const name of seen) ending.add(name);
  }
}

/** Data and values are bytes, either text or JSON: the schema must decide which. */
function checkTexts({ commands, values = {}, $defs = {} }: RoomSchema): void {
  const all = [
    ...Object.entries(commands).map(([name, { data }]) => [`commands.${name}.data`, data] as const),
    ...Object.entries(values).map(([key, shape]) => [`values.${key}`, shape] as const),
  ];
  for (const [at, shape] of all) {
    if (shape === undefined || textOf(resolved(shape, $defs)) !== "sometimes") continue;
    throw new SchemaError(`${at}: it is a text or something else; expected one of both`);
  }
}

function checkCommands(value: unknown): string[] {
  if (value === undefined) throw new SchemaError("commands: expected an object, found nothing");
  return entriesOf(value, "commands").flatMap(([name, command]) => {
    const at = `commands.${name}`;
    if (!isObject(command)) throw new SchemaError(`${at}: expected an object`);
    requireWords(command, COMMAND_WORDS, at);
    const { description, data, answer } = command;
    if (!["undefined", "string"].includes(typeof description)) {
      throw new SchemaError(`${at}.description: expected a text`);
    }
    const shapes = Object.entries({ data, answer }).filter(([, shape]) => shape !== undefined);
    return shapes.flatMap(([word, shape]) => checkShape(shape, `${at}.${word}`));
  });
}

/**
 * Reads a schema.
 * @throws {SchemaError} what is wrong, with where.
 */
export function parseRoomSchema(bytes: Uint8Array): RoomSchema {
  if (bytes.length > SCHEMA_BYTES) {
    throw new SchemaError(`${bytes.length} bytes; at most ${SCHEMA_BYTES}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new SchemaError("it is no JSON in UTF-8");
  }
  if (!isObject(value)) throw new SchemaError(`expected an object, found ${shownText(value)}`);
  requireWords(value, WORDS);
  for (const word of ["$schema", "title", "description"]) {
    if (["undefined", "string"].includes(typeof value[word])) continue;
    throw new SchemaError(`${word}: expected a text`);
  }
  const used = checkCommands(value["commands"]);
  for (const word of ["events", "values", "$defs"]) {
    for (const [name, shape] of entriesOf(value[word], word)) {
      if (word === "$defs" && !DEF.test(name)) {
        throw new SchemaError(`$defs: ${shownText(name)} is no name such as Lot`);
      }
      used.push(...checkShape(shape, `${word}.${name}`));
    }
  }
  const schema = value as unknown as RoomSchema;
  checkNames(schema.$defs ?? {}, used);
  checkTexts(schema);
  return schema;
}

/** The module with a schema at its end; the module must have none. */
export function withRoomSchema(module: Uint8Array, schema: Uint8Array): Uint8Array<ArrayBuffer> {
  const section = new Writer();
  section.text(SECTION);
  section.raw(schema);
  const all = new Writer(module.length);
  all.raw(module);
  all.u8(0);
  all.sized(section.view());
  return all.view();
}

/** The sections of a module with their bytes; none for bytes that are no module. */
function* sectionsOf(bytes: Uint8Array): Generator<{ readonly id: number; body: Uint8Array }> {
  for (let at = 8; at < bytes.length;) {
    const id = bytes[at++]!;
    let size = 0;
    for (let shift = 0; at < bytes.length && shift < 35; shift += 7) {
      const byte = bytes[at++]!;
      size += (byte & 0x7F) * 2 ** shift;
      if (byte < 0x80) break;
    }
    yield { id, body: bytes.subarray(at, at + size) };
    at += size;
  }
}

/** The bytes of the schema in a module that decodes; undefined: it has none. */
function schemaBytesOf(module: Uint8Array): Uint8Array | undefined {
  const decoder = new TextDecoder();
  const found: Uint8Array[] = [];
  for (const { id, body } of sectionsOf(module)) {
    const length = body[0];
    if (id !== 0 || length !== SECTION.length) continue;
    if (decoder.decode(body.subarray(1, 1 + length)) === SECTION) {
      found.push(body.subarray(1 + length));
    }
  }
  if (found.length > 1) throw new SchemaError(`${found.length} sections; expected one`);
  return found[0];
}

/**
 * The schema of a module; undefined: it has none.
 * @throws {SchemaError} what is wrong, with where.
 */
export function schemaOf(module: Uint8Array): RoomSchema | undefined {
  const bytes = schemaBytesOf(module);
  return bytes === undefined ? undefined : parseRoomSchema(bytes);
}
