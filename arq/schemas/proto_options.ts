/**
 * The options of a descriptor as `.proto` text, with custom ones. An option without an extension in the
 * registry has no known name and is left out. `proto_text.ts` writes the declarations around them.
 */
import { getExtension, hasExtension } from "@bufbuild/protobuf";
import type { DescExtension, DescField, DescMessage, Message, Registry } from "@bufbuild/protobuf";
import { isReflectMessage, reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";

/** Finds the short names of types in one set of files. */
export class ProtoNames {
  readonly #known = new Set<string>();

  constructor(registry: Registry) {
    for (const { typeName } of registry) {
      for (let name = typeName; name !== ""; name = parentOf(name)) this.#known.add(name);
    }
  }

  /**
   * The full name that Protobuf resolves `written` to in `scope`: it stops at the first scope that has the first part.
   */
  #resolve(written: string, scope: string): string | undefined {
    const first = written.split(".", 1)[0] ?? "";
    for (let at = scope;; at = parentOf(at)) {
      const prefix = at === "" ? "" : `${at}.`;
      if (this.#known.has(prefix + first)) return prefix + written;
      if (at === "") return undefined;
    }
  }

  /** The shortest name for `full_name` inside of `scope` (a package or message, or ""). */
  short(full_name: string, scope: string): string {
    const parts = full_name.split(".");
    for (let kept = 1; kept <= parts.length; kept++) {
      const written = parts.slice(-kept).join(".");
      if (this.#resolve(written, scope) === full_name) return written;
    }
    return `.${full_name}`;
  }

  /** The full name, with a leading dot if it would otherwise mean another type. */
  full(full_name: string, scope: string): string {
    // A name without a package may be that of a field, which this class does not know.
    const is_plain = full_name.includes(".") && this.#resolve(full_name, scope) === full_name;
    return is_plain ? full_name : `.${full_name}`;
  }
}

function parentOf(name: string): string {
  const dot = name.lastIndexOf(".");
  return dot === -1 ? "" : name.slice(0, dot);
}

/** The value of an option: a word or literal, or a list of members in brackets. */
export type Value = string | {
  readonly open: "{" | "[";
  readonly items: readonly (readonly [name: string, value: Value])[];
};

/** An option and its value: `name = value`. */
export type Setting = readonly [name: string, value: Value];

/** Longest line; longer ones are broken. */
const LINE_CHARS = 100;
/** Options that the text expresses in other ways, or that no compiler keeps. */
const NOT_WRITTEN = ["map_entry", "uninterpreted_option"];

/** A double-quoted literal. Bytes that are not printable ASCII are escaped. */
export function quoted(value: string | Uint8Array): string {
  const escapes: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };
  const text = typeof value === "string" ? value : String.fromCharCode(...value);
  // deno-lint-ignore no-control-regex
  const unsafe = typeof value === "string" ? /["\\\u0000-\u001f\u007f]/g : /["\\]|[^\x20-\x7e]/g;
  return `"${
    text.replace(unsafe, (one) =>
      one === '"' || one === "\\"
        ? `\\${one}`
        : escapes[one] ?? `\\${one.charCodeAt(0).toString(8).padStart(3, "0")}`)
  }"`;
}

function scalar(value: unknown): string {
  if (typeof value === "string" || value instanceof Uint8Array) return quoted(value);
  if (typeof value !== "number" || Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

/** The text of a value. A short one stays on its line, which already has `used` characters. */
export function valueText(value: Value, indent: string, used: number): string {
  if (typeof value === "string") return value;
  const close = value.open === "{" ? "}" : "]";
  const separator = (name: string, item: Value) =>
    name === "" ? "" : typeof item === "string" || item.open === "[" ? `${name}: ` : `${name} `;
  const flat = value.items.map(([name, item]) =>
    separator(name, item) + valueText(item, indent, -Infinity)
  ).join(", ");
  const inline = value.open === "{" && flat !== "" ? `{ ${flat} }` : `${value.open}${flat}${close}`;
  if (used + inline.length <= LINE_CHARS) return inline;
  const inner = `${indent}  `;
  const lines = value.items.map(([name, item]) => {
    const head = separator(name, item);
    return `${inner}${head}${valueText(item, inner, inner.length + head.length)}`;
  });
  return `${value.open}\n${lines.join(",\n")}\n${indent}${close}`;
}

/** Reads the options of all files in one registry. */
export class OptionReader {
  readonly #extensions = new Map<string, DescExtension[]>();
  readonly #names: ProtoNames;

  constructor(registry: Registry, names: ProtoNames) {
    this.#names = names;
    for (const type of registry) {
      if (type.kind !== "extension") continue;
      const list = this.#extensions.get(type.extendee.typeName) ?? [];
      list.push(type);
      this.#extensions.set(type.extendee.typeName, list);
    }
    for (const list of this.#extensions.values()) list.sort((a, b) => a.number - b.number);
  }

  /** Every option that is set, with its name as written in `scope`. A repeated option appears once for each value. */
  read(desc: DescMessage, options: Message | undefined, scope: string): Setting[] {
    if (options === undefined) return [];
    return this.#members(desc, reflect(desc, options), scope, (name) => `(${name})`)
      .filter(([name]) => !NOT_WRITTEN.includes(name))
      .flatMap(([name, value]): Setting[] =>
        typeof value !== "string" && value.open === "["
          ? value.items.map(([, item]) => [name, item])
          : [[name, value]]
      );
  }

  #members(
    desc: DescMessage,
    message: ReflectMessage,
    scope: string | undefined,
    extensionName: (name: string) => string,
  ): Setting[] {
    const own = desc.fields.filter((field) => message.isSet(field))
      .map((field): Setting => [field.name, this.#value(field, message)]);
    const extensions = (this.#extensions.get(desc.typeName) ?? [])
      .filter((extension) => hasExtension(message.message, extension))
      .map((extension): Setting => {
        const value: unknown = getExtension(message.message, extension);
        const name = extensionName(
          scope === undefined ? extension.typeName : this.#names.full(extension.typeName, scope),
        );
        if (extension.fieldKind !== "list") return [name, this.#one(extension, value)];
        const items = (value as readonly unknown[])
          .map((item): Setting => ["", this.#one(extension, item)]);
        return [name, { open: "[", items }];
      });
    return [...own, ...extensions];
  }

  #value(field: DescField, message: ReflectMessage): Value {
    if (field.fieldKind === "list") {
      const items = [...message.get(field)].map((item): Setting => ["", this.#one(field, item)]);
      return { open: "[", items };
    }
    if (field.fieldKind === "map") {
      const entries = [...message.get(field)].map(([key, item]): Setting => ["", {
        open: "{",
        items: [["key", scalar(key)], ["value", this.#one(field, item)]],
      }]);
      return { open: "[", items: entries };
    }
    return this.#one(field, message.get(field));
  }

  #one(field: DescField | DescExtension, value: unknown): Value {
    if (field.enum !== undefined) {
      return field.enum.value[value as number]?.name ?? String(value);
    }
    if (field.message === undefined) return scalar(value);
    const inside = isReflectMessage(value) ? value : reflect(field.message, value as Message);
    // Names within a literal are always full, without a leading dot.
    const items = this.#members(field.message, inside, undefined, (name) => `[${name}]`);
    return { open: "{", items };
  }
}
