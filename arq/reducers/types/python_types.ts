/**
 * Python types of a room's schema: a `TypedDict` for each object, a Protocol whose overloads are the room's commands,
 * and one for its values. Pure.
 */
import type { CommandSchema, RoomSchema } from "../../../wasm/reducer/schema/room_schema.ts";
import { kindsOf, listedBy, refOf, resolved, textOf } from "../../../wasm/reducer/schema/shape.ts";
import type { Scalar, Shape } from "../../../wasm/reducer/schema/shape.ts";
import { noteText, pascal, snake, TypeNames, type TypeSource } from "./guest_types.ts";

const SCALARS: Readonly<Record<string, string>> = {
  string: "str",
  integer: "int",
  number: "float",
  boolean: "bool",
  null: "None",
};
const RESERVED = new Set(
  ("False None True and as assert async await break class continue def del elif else except finally for from global " +
    "if import in is lambda nonlocal not or pass raise return try while with yield").split(" "),
);
const HEADERS = "headers: Mapping[str, str] | None = None";
const IMPORTED = [
  ...["Any", "AsyncIterator", "Called", "Literal", "Mapping", "NotRequired", "Protocol", "Room"],
  ...["Self", "TypedDict", "Value", "ValuesChanged", "cast", "overload", "reduced", "watch"],
];

const isName = (text: string) => /^[A-Za-z_]\w*$/.test(text) && !RESERVED.has(text);
const docOf = (description: string | undefined, indent: string, otherwise: string) =>
  `${indent}"""${noteText(description ?? "").replace(/"$/, "'") || otherwise}"""\n`;

/** A text as a literal of Python. */
const quoted = (text: string) =>
  JSON.stringify(text).replaceAll(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  ).replaceAll(
    /\\u(d[89ab]..)\\u(d[c-f]..)/g,
    (_, high, low) => `\\U${pairOf(high, low).toString(16).padStart(8, "0")}`,
  );
const pairOf = (high: string, low: string) =>
  ((parseInt(high, 16) - 0xD800) << 10) + (parseInt(low, 16) - 0xDC00) + 0x10000;

function literal(value: Scalar): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  return typeof value === "string" ? quoted(value) : String(value);
}

class Writer {
  readonly classes: string[] = [];
  readonly #names: TypeNames;
  readonly #definitions: ReadonlyMap<string, string>;

  constructor(names: TypeNames, definitions: ReadonlyMap<string, string>) {
    this.#names = names;
    this.#definitions = definitions;
  }

  /** The type of a shape; an object of its own gets the wanted name. */
  typeOf(shape: Shape, wanted: string): string {
    const ref = refOf(shape);
    if (ref !== undefined) return this.#definitions.get(ref)!;
    const listed = listedBy(shape);
    if (listed !== undefined) return listedType(listed);
    return kindsOf(shape).map((kind) => {
      if (kind === "object") return this.#objectType(shape, wanted);
      if (kind !== "array") return SCALARS[kind]!;
      const { items } = shape;
      return `list[${items === undefined ? "Any" : this.typeOf(items, `${wanted}Item`)}]`;
    }).join(" | ");
  }

  #objectType(shape: Shape, wanted: string): string {
    const { properties = {}, additionalProperties: others = true } = shape;
    if (Object.keys(properties).length > 0) {
      const name = this.#names.take(wanted);
      this.writeClass(name, shape);
      return name;
    }
    const value = typeof others === "boolean" ? "Any" : this.typeOf(others, `${wanted}Item`);
    return `dict[str, ${value}]`;
  }

  writeClass(name: string, { properties = {}, required = [], description }: Shape): void {
    const members = Object.entries(properties).map(([member, shape]) => {
      const type = this.typeOf(shape, `${name}${pascal(member)}`);
      const needed = required.includes(member) ? type : `NotRequired[${type}]`;
      return [member, needed, shape.description] as const;
    });
    if (members.every(([member]) => isName(member) && !/^__.*[^_]$/.test(member))) {
      const lines = members.map(([member, type, note]) =>
        `    ${member}: ${type}\n${note === undefined ? "" : docOf(note, "    ", "")}`
      );
      const doc = docOf(description, "    ", "An object.");
      this.classes.push(`class ${name}(TypedDict):\n${doc}\n${lines.join("")}`);
      return;
    }
    // The member's name is no Python identifier.
    const lines = members.map(([member, type]) => `        ${quoted(member)}: ${quoted(type)},\n`);
    this.classes.push(`${name} = TypedDict(\n    "${name}",\n    {\n${lines.join("")}    },\n)\n`);
  }
}

function listedType(listed: readonly Scalar[]): string {
  // Python's Literal allows no number with a fraction.
  const literals = listed.filter((one) => typeof one !== "number" || Number.isInteger(one));
  const rest = literals.length < listed.length ? ["float"] : [];
  const some = literals.length > 0 ? [`Literal[${literals.map(literal).join(", ")}]`] : [];
  return [...some, ...rest].join(" | ");
}

const overloads = (methods: readonly string[]) =>
  methods.map((one) => `${methods.length > 1 ? "    @overload\n" : ""}${one}`).join("\n");

function callsOf(commands: Readonly<Record<string, CommandSchema>>, writer: Writer): string {
  return overloads(
    Object.entries(commands).map(([command, { description, data, answer }]) => {
      const name = pascal(command);
      const given = data === undefined
        ? "data: None = None"
        : `data: ${writer.typeOf(data, `${name}Data`)}`;
      const answered = answer === undefined ? "None" : writer.typeOf(answer, `${name}Answer`);
      return `    async def call(\n        self,\n        command: Literal[${quoted(command)}],\n` +
        `        ${given},\n        *,\n        call_id: str | None = None,\n` +
        `        timeout_ms: int | None = None,\n        ${HEADERS},\n` +
        `    ) -> Called[${answered}]:\n${docOf(description, "        ", "Calls the command.")}` +
        `        ...\n`;
    }),
  );
}

function readsOf({ values = {}, $defs = {} }: RoomSchema, writer: Writer): string {
  const all = Object.entries(values).map(([key, shape]) => {
    const pattern = key.endsWith("*");
    return {
      key: pattern ? "str" : `Literal[${quoted(key)}]`,
      pattern,
      is_text: textOf(resolved(shape, $defs)) === "always",
      type: writer.typeOf(shape, `${pascal(key)}Value`),
    };
  });
  const method = (name: string, key: string, type: string) =>
    `    def ${name}(self, key: ${key}) -> ${type} | None: ...\n`;
  // Patterns of keys overlap the other keys, so their values have no type.
  const texts = all.filter((one) => one.is_text && !one.pattern);
  const json = all.filter((one) => !one.is_text && !one.pattern);
  const parts = [
    overloads([
      ...texts.map(({ key, type }) => method("read", key, type)),
      method("read", "str", "Value"),
    ]),
    overloads([
      ...json.map(({ key, type }) => method("json", key, type)),
      method("json", "str", "Any"),
    ]),
  ];
  return parts.join("\n");
}

/** The text of the file. */
export function pythonTypes(schema: RoomSchema, { source, name }: TypeSource): string {
  const { commands, $defs = {}, events = {} } = schema;
  const names = new TypeNames([name, `${name}Values`, ...IMPORTED]);
  const definitions = new Map(Object.keys($defs).map((one) => [one, names.take(pascal(one))]));
  const writer = new Writer(names, definitions);
  const aliases: string[] = [];
  for (const [one, shape] of Object.entries($defs)) {
    const own = definitions.get(one)!;
    const is_class = kindsOf(shape).join() === "object" &&
      Object.keys(shape.properties ?? {}).length > 0;
    if (is_class) writer.writeClass(own, shape);
    else aliases.push(`${own}: TypeAlias = ${quotedType(writer.typeOf(shape, `${own}Item`))}\n`);
  }
  for (const [type, shape] of Object.entries(events)) {
    if (refOf(shape) === undefined) writer.typeOf(shape, `${pascal(type)}Event`);
  }
  const calls = callsOf(commands, writer);
  const reads = readsOf(schema, writer);
  const lower = snake(name);
  const room = `class ${name}(Protocol):\n${docOf(schema.description, "    ", "The room.")}\n` +
    `    id: str\n${calls && `\n${calls}`}`;
  const values = `class ${name}Values(Protocol):\n    """The live visible values."""\n\n` +
    `    version: int\n    is_current: bool\n\n${reads}\n` +
    `    def entries(self) -> list[tuple[str, Value]]: ...\n\n` +
    `    async def __aenter__(self) -> Self: ...\n\n` +
    `    async def __aexit__(self, *ended: object) -> None: ...\n\n` +
    `    def __aiter__(self) -> AsyncIterator[ValuesChanged]: ...\n`;
  const makers = `def ${lower}(room: Room) -> ${name}:\n    """The room, with its commands."""\n` +
    `    return cast("${name}", reduced(room))\n\n\n` +
    `def ${lower}_values(room: Room, prefix: str = "") -> ${name}Values:\n` +
    `    """The visible values below a prefix."""\n` +
    `    return cast("${name}Values", watch(room, prefix))\n`;
  const body = [...writer.classes, ...aliases, room, values, makers].join("\n\n");
  return headOf(noteText(source), body) + body;
}

/** In single quotes if it contains double ones, as formatters do. */
const quotedType = (type: string) =>
  type.includes('"') && !/['\\]/.test(type) ? `'${type}'` : quoted(type);

function headOf(source: string, body: string): string {
  const used = (all: readonly string[]) =>
    all.filter((name) => new RegExp(`\\b${name}\\b`).test(body)).sort();
  const typing = used([
    ...["Any", "Literal", "Protocol", "TypeAlias", "TypedDict", "cast"],
    "overload",
  ]);
  const typing_only = used(["NotRequired", "Self"]);
  const arqon = used(["Called", "Value", "ValuesChanged", "reduced", "watch"]);
  return `"""Generated from ${source} by \`arq reducer types\`: change that and run it again."""\n\n` +
    `from __future__ import annotations\n\nfrom collections.abc import AsyncIterator, Mapping\n` +
    `from typing import ${["TYPE_CHECKING", ...typing].join(", ")}\n\n` +
    `from arqon.reducers import ${arqon.join(", ")}\nfrom arqon.room import Room\n\n` +
    `if TYPE_CHECKING:\n    from typing_extensions import ${typing_only.join(", ")}\n\n\n`;
}
