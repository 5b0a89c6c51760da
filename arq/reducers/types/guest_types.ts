/**
 * AssemblyScript of a room's schema, for the reducer: a class for each object that a command brings, and one with its
 * JSON for each answer or event. Nested objects and lists are read with `JsonReader`; no class is made for them. Pure.
 */
import type { RoomSchema } from "../../../wasm/reducer/schema/room_schema.ts";
import { kindsOf, listedBy, refOf, resolved } from "../../../wasm/reducer/schema/shape.ts";
import type { Shape } from "../../../wasm/reducer/schema/shape.ts";

interface Member {
  readonly name: string;
  readonly kind: string;
  /** May be null, and may be absent. */
  readonly nullable: boolean;
  readonly optional: boolean;
  readonly note: string | undefined;
}

const TYPES: Readonly<Record<string, string>> = {
  integer: "i64",
  number: "f64",
  string: "string",
  boolean: "bool",
};
const READERS: Readonly<Record<string, string>> = {
  integer: "number",
  number: "decimal",
  string: "text",
  boolean: "flag",
};
const EMPTY: Readonly<Record<string, string>> = {
  integer: "0",
  number: "0",
  string: '""',
  boolean: "false",
};
/** Names that are reserved by the compiler or by the generated code. */
const RESERVED = new Set(
  ("abstract as break case catch class const continue debugger declare default delete do else enum export extends false " +
    "final finally for from function get if implements import in instanceof interface is keyof let module namespace new " +
    "null of override private protected public readonly return set static super switch this throw true try type typeof " +
    "var void while with yield constructor json toString").split(" "),
);

/** The kind of a scalar; undefined: AssemblyScript has none for it. */
function scalarOf(shape: Shape): { readonly kind: string; readonly nullable: boolean } | undefined {
  const kinds = allKinds(shape);
  const own = kinds.filter((kind) => kind !== "null");
  const [kind = ""] = own;
  if (own.length !== 1 || !Object.hasOwn(TYPES, kind)) return undefined;
  return { kind, nullable: own.length < kinds.length };
}

class Writer {
  readonly #defs: Readonly<Record<string, Shape>>;
  readonly #names: TypeNames;
  /** Classes with JSON, by the names of their definitions. */
  readonly #made = new Map<string, string | undefined>();
  readonly parts: string[] = [];

  constructor(defs: Readonly<Record<string, Shape>>, names: TypeNames) {
    this.#defs = defs;
    this.#names = names;
  }

  scalar(shape: Shape) {
    return scalarOf(resolved(shape, this.#defs));
  }

  /** The members of an object of scalars; undefined for any other shape. */
  #members(given: Shape): Member[] | undefined {
    const shape = resolved(given, this.#defs);
    const { properties = {}, required = [] } = shape;
    if (allKinds(shape).join() !== "object" || Object.keys(properties).length === 0) {
      return undefined;
    }
    const members: Member[] = [];
    for (const [name, one] of Object.entries(properties)) {
      const scalar = this.scalar(one);
      const is_name = /^[A-Za-z_]\w*$/.test(name) && !RESERVED.has(name);
      if (scalar === undefined || !is_name) return undefined;
      members.push({ name, ...scalar, optional: !required.includes(name), note: one.description });
    }
    return members;
  }

  /** A class that reads a command; undefined for shapes that have none. */
  reader(shape: Shape, wanted: string, note: string): string | undefined {
    const members = this.#members(shape);
    if (members === undefined) return undefined;
    const name = this.#names.take(wanted);
    const fields = members.map((member) => `${noteOf(member)}${fieldOf(member, "readonly ")}`);
    const reads = members.map(({ name: one, kind, nullable, optional }) => {
      const read = `fields.${READERS[kind]}("${one}")`;
      if (!nullable && !optional) return `    this.${one} = ${read};\n`;
      if (kind === "string") return `    this.${one} = fields.has("${one}") ? ${read} : null;\n`;
      return `    this.${hasOf(one)} = fields.has("${one}");\n` +
        `    this.${one} = this.${hasOf(one)} ? ${read} : ${EMPTY[kind]};\n`;
    });
    this.parts.push(
      `/** ${note} */\nexport class ${name} {\n${fields.join("")}\n  constructor(c: Command) {\n` +
        `    const fields = c.fields;\n${reads.join("")}  }\n}\n`,
    );
    return name;
  }

  /** A class with its JSON; undefined for shapes that have none. */
  writer(shape: Shape, wanted: string): string | undefined {
    const ref = refOf(shape);
    if (ref !== undefined && this.#made.has(ref)) return this.#made.get(ref);
    const members = this.#members(shape);
    const name = members && this.#names.take(ref === undefined ? wanted : pascal(ref));
    if (ref !== undefined) this.#made.set(ref, name);
    if (members === undefined || name === undefined) return undefined;
    const fields = members.map((member) => `${noteOf(member)}${fieldOf(member, "", true)}`);
    const note = noteText(resolved(shape, this.#defs).description ?? "") || "The data.";
    this.parts.push(
      `/** ${note} */\nexport class ${name} {\n${fields.join("")}\n  get json(): string {\n` +
        `    let json = "";\n${members.map(jsonOf).join("")}` +
        `    return "{" + (json == "" ? "" : json.substring(1)) + "}";\n  }\n}\n`,
    );
    return name;
  }
}

const hasOf = (name: string) => `has${pascal(name)}`;
const noteOf = ({ note }: Member) => note === undefined ? "" : `  /** ${noteText(note)} */\n`;

function fieldOf(
  { name, kind, nullable, optional }: Member,
  before: string,
  begins = false,
): string {
  const may_lack = nullable || optional;
  const begin = begins ? ` = ${may_lack && kind === "string" ? "null" : EMPTY[kind]}` : "";
  if (may_lack && kind === "string") return `  ${before}${name}: string | null${begin};\n`;
  const has = may_lack ? `  ${before}${hasOf(name)}: bool${begins ? " = false" : ""};\n` : "";
  return `${has}  ${before}${name}: ${TYPES[kind]}${begin};\n`;
}

const valueText = (kind: string, value: string) =>
  kind === "string" ? `quote(${value})` : `${value}.toString()`;

function jsonOf({ name, kind, nullable, optional }: Member): string {
  const label = `',"${name}":'`;
  if (!nullable && !optional) return `    json += ${label} + ${valueText(kind, `this.${name}`)};\n`;
  const otherwise = optional ? "" : ` else json += ${label} + "null";`;
  if (kind === "string") {
    return `    const ${name} = this.${name};\n` +
      `    if (${name} !== null) json += ${label} + quote(${name});${otherwise}\n`;
  }
  return `    if (this.${hasOf(name)}) json += ${label} + ` +
    `${valueText(kind, `this.${name}`)};${otherwise}\n`;
}

/** Functions that send an object or a scalar as an answer or event. */
function teller(
  writer: Writer,
  shape: Shape,
  wanted: string,
): [type: string, json: string] | undefined {
  const made = writer.writer(shape, wanted);
  if (made !== undefined) return [made, "data.json"];
  const scalar = writer.scalar(shape);
  if (scalar === undefined || scalar.nullable) return undefined;
  return [TYPES[scalar.kind]!, valueText(scalar.kind, "data")];
}

/** The text of the file. */
export function guestTypes(schema: RoomSchema, { source }: TypeSource): string {
  const { commands, events = {}, $defs = {} } = schema;
  const names = new TypeNames(["Command", "Fields"]);
  const writer = new Writer($defs, names);
  const functions: string[] = [];
  const left: string[] = [];
  for (const [command, { data, answer }] of Object.entries(commands)) {
    const name = pascal(command);
    const says = `\`${noteText(command)}\``;
    if (
      data !== undefined && writer.reader(data, `${name}Data`, `The data of ${says}.`) === undefined
    ) {
      if (writer.scalar(data) === undefined) left.push(`the data of ${says}`);
    }
    if (answer === undefined) continue;
    const data_type = teller(writer, answer, `${name}Answer`);
    if (data_type === undefined) left.push(`the answer of ${says}`);
    else {
      const given = `c: Command, data: ${data_type[0]}`;
      functions.push(
        `/** Answers ${says}. */\nexport function ${
          names.take(`answer${name}`)
        }(${given}): void {\n` +
          `  c.answer(${data_type[1]});\n}\n`,
      );
    }
  }
  for (const [type, shape] of Object.entries(events)) {
    const data_type = teller(writer, shape, `${pascal(type)}Event`);
    if (data_type === undefined) {
      left.push(`the event \`${noteText(type)}\``);
      continue;
    }
    functions.push(
      `/** Publishes it to all subscribers, or to \`user:ID\` or \`role:NAME\`. */\nexport function ` +
        `${names.take(`emit${pascal(type)}`)}(data: ${data_type[0]}, to: string = ""): void {\n` +
        `  emit(${JSON.stringify(type)}, ${data_type[1]}, to);\n}\n`,
    );
  }
  const body = [...writer.parts, ...functions].join("\n");
  const imports = ["Command", "emit", "quote"].filter((one) =>
    new RegExp(`\\b${one}\\b`).test(body)
  );
  const rest = left.length === 0
    ? ""
    : `// Not made, as there are objects or lists in it: ${left.join(", ")}.\n`;
  const made = `from ${noteText(source)} by \`arq reducer types --guest\``;
  return `// Generated ${made}: change that and run it again.\n${rest}` +
    (imports.length === 0 ? "" : `import { ${imports.join(", ")} } from "@arqon/reducer";\n`) +
    (body === "" ? "" : `\n${body}`);
}

/** The source file of a program, and its name. */
export interface TypeSource {
  /** The file that the types are made from. */
  readonly source: string;
  /** `Sale`. */
  readonly name: string;
}

/** `highest bid` and `highest_bid` as `HighestBid`. */
export function pascal(text: string): string {
  const words = text.split(/[^A-Za-z0-9]+/).filter((word) => word !== "");
  const name = words.map((word) => word[0]!.toUpperCase() + word.slice(1)).join("");
  return /^[A-Za-z]/.test(name) ? name : `X${name}`;
}

/** `HighestBid` as `highest_bid`. */
export const snake = (name: string): string =>
  name.replace(/([a-z0-9])([A-Z])/g, "$1_$2").toLowerCase();

/** Allocates names, each only once. */
export class TypeNames {
  readonly #taken: Set<string>;

  constructor(taken: Iterable<string>) {
    this.#taken = new Set(taken);
  }

  take(wanted: string): string {
    let name = wanted;
    for (let number = 2; this.#taken.has(name); number++) name = `${wanted}${number}`;
    this.#taken.add(name);
    return name;
  }
}

/** A line for people; nothing in it can end a comment. */
export const noteText = (text: string): string =>
  text.replaceAll(/\s+/g, " ").replaceAll("*/", "* /").replaceAll('"""', "'''")
    .replaceAll("\\", "/").trim();

/** The kinds of a shape, or of its listed values if it names none; each once. */
function allKinds(shape: Shape): string[] {
  const kinds: readonly string[] = kindsOf(shape);
  if (kinds.length > 0) return [...kinds];
  const listed = listedBy(shape) ?? [];
  return [...new Set(listed.map((one) => one === null ? "null" : typeof one))];
}
