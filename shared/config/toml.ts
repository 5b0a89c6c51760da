/**
 * Parses TOML text to a plain value with the position of each entry. The only file that uses the TOML parser; it checks
 * syntax (TOML 1.0) and nothing else.
 */
import { type AST, ParseError, parseTOML } from "toml-eslint-parser";

/** Where something starts: line and column count from 1, columns in UTF-16 units as editors do. */
export interface TomlPosition {
  readonly line: number;
  readonly column: number;
}

/** A path of table names, keys and indexes into arrays. */
export type TomlPath = readonly (string | number)[];

/** A key with its value. For `[tables]` both places are the name in the header. */
interface TomlEntry {
  readonly key: TomlPosition;
  readonly value: TomlPosition;
  /** The value as written; empty for `[tables]`. */
  readonly source: string;
}

/** A parsed TOML file, not yet validated. */
export interface TomlDocument {
  /**
   * The value. Tables have no prototype, so that `__proto__` is a key like any other. Dates and
   * times are `null`, which TOML does not have: no key takes one, so it only matters that they are
   * dates.
   */
  readonly value: Record<string, unknown>;
  entry(path: TomlPath): TomlEntry | undefined;
}

/** Either a document or the first syntax error. */
type TomlResult =
  | { readonly ok: true; readonly document: TomlDocument }
  | {
    readonly ok: false;
    readonly position: TomlPosition;
    /** The key that the error is about, as a person writes it; "" if unknown. */
    readonly key: string;
    readonly message: string;
  };

type Table = Record<string, unknown>;

function start(node: AST.HasLocs): TomlPosition {
  return { line: node.loc.start.line, column: node.loc.start.column + 1 };
}

function newTable(): Table {
  return Object.create(null);
}

class Builder {
  readonly root = newTable();
  readonly entries = new Map<string, TomlEntry>();
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  #note(path: TomlPath, key: AST.HasLocs, value?: AST.HasLocs): void {
    const id = JSON.stringify(path);
    if (this.entries.has(id)) return;
    const source = value === undefined ? "" : this.#text.slice(value.range[0], value.range[1]);
    this.entries.set(id, { key: start(key), value: start(value ?? key), source });
  }

  /** The table at `path`, created if missing; `keys` are the names written for its last part. */
  #descend(from: Table, base: TomlPath, path: TomlPath, keys: readonly AST.HasLocs[]): Table {
    let at: unknown = from;
    let named = 0;
    path.forEach((step, index) => {
      const holder = at as Record<string | number, unknown>;
      const next = path[index + 1];
      holder[step] ??= typeof next === "number" ? [] : newTable();
      at = holder[step];
      const key = keys[typeof step === "string" ? named++ : Math.max(named - 1, 0)];
      if (key !== undefined) this.#note([...base, ...path.slice(0, index + 1)], key);
    });
    return at as Table;
  }

  #value(node: AST.TOMLContentNode, path: TomlPath): unknown {
    if (node.type === "TOMLValue") return node.value instanceof Date ? null : node.value;
    if (node.type === "TOMLInlineTable") {
      const table = newTable();
      for (const pair of node.body) this.keyValue(pair, table, path);
      return table;
    }
    return node.elements.map((element, index) => {
      this.#note([...path, index], element, element);
      return this.#value(element, [...path, index]);
    });
  }

  keyValue(pair: AST.TOMLKeyValue, table: Table, base: TomlPath): void {
    const names = pair.key.keys.map((key) => key.type === "TOMLBare" ? key.name : key.value);
    const last = names.at(-1) ?? "";
    const holder = this.#descend(table, base, names.slice(0, -1), pair.key.keys);
    const path = [...base, ...names];
    this.#note(path, pair.key.keys.at(-1) ?? pair.key, pair.value);
    holder[last] = this.#value(pair.value, path);
  }

  table(node: AST.TOMLTable): void {
    const table = this.#descend(this.root, [], node.resolvedKey, node.key.keys);
    for (const pair of node.body) this.keyValue(pair, table, node.resolvedKey);
  }
}

const TWICE = "Defining a key multiple times is invalid";
/** The parser's messages in our form: "what is wrong; what would be right". */
const MESSAGES: Readonly<Record<string, string>> = {
  "Unterminated string constant": "the string is not closed; expected a closing quote",
  "Unterminated table-key": 'the table header is not closed; expected "]"',
  "Unterminated array": 'the array is not closed; expected "]"',
  "Unterminated inline table": 'the inline table is not closed; expected "}"',
  "Empty bare keys are not allowed": "the key is missing; expected a name",
  "Expected equal (=) token": 'expected "=" and a value after the key',
  "Must be a newline": "unexpected text after the value; expected the end of the line",
  [TWICE]: "the key is defined twice; expected it once",
};
const NOT_A_VALUE =
  "not a TOML value; expected a string in quotes, a number, true, false, an array or a table";
const VALUE_MISSING = 'the value is missing; expected one on the same line as "="';
const EQUALS_MISSING = 'expected "=" and a value on the line of the key';

interface SyntaxProblem {
  readonly position: TomlPosition;
  readonly key: string;
  readonly message: string;
}

const KEY_UNITS = 100;
const HEADER = /^[ \t]*\[\[?[ \t]*([^\]\n]+?)[ \t]*\]\]?[ \t\r]*(?:#.*)?$/gm;

/** The key that is defined again at `index`, with its table, as they are written. */
function keyAt(text: string, index: number): string {
  const line_start = text.lastIndexOf("\n", index - 1) + 1;
  const before = text.slice(line_start, index);
  const line = text.slice(line_start).split("\n", 1)[0] ?? "";
  const own_header = [...line.matchAll(HEADER)][0]?.[1];
  const name = /^(?:"[^"\n]*"|'[^'\n]*'|[A-Za-z0-9_-]+)/.exec(text.slice(index))?.[0] ?? "";
  const around = /^[ \t]*([^={]+?)[ \t]*=[ \t]*\{/.exec(before)?.[1];
  const own = around === undefined ? `${before.trim()}${name}` : `${around}.${name}`;
  const table = [...text.slice(0, line_start).matchAll(HEADER)].at(-1)?.[1];
  const key = own_header ?? (table === undefined ? own : `${table}.${own}`);
  return key.replace(/["']([A-Za-z0-9_-]+)["']/g, "$1").replace(/\p{C}/gu, "").slice(0, KEY_UNITS);
}

/** The position just after the last character of `text` that is not blank. */
function endOf(text: string): TomlPosition {
  const kept = text.trimEnd();
  const line_start = kept.lastIndexOf("\n") + 1;
  return { line: kept.split("\n").length, column: kept.length - line_start + 1 };
}

/**
 * Finds where the mistake is. The parser stops where it cannot continue, which for a missing part is often a line or
 * more below it.
 */
function syntaxProblem(text: string, error: ParseError): SyntaxProblem {
  const before = text.slice(0, error.index);
  const here = { line: error.lineNumber, column: error.column + 1 };
  const assignment = /^([^\n#]*=)[ \t\r]*(?:#[^\n]*)?$/.exec(before.trimEnd().split("\n").at(-1)!);
  const ends_in_equals = assignment !== null;
  const same_line = before.lastIndexOf("\n") < before.trimEnd().length;
  if (/^Unexpected (character|token)|^Unspecified|^The key, equals/.test(error.message)) {
    if (ends_in_equals && same_line && error.index < text.trimEnd().length) {
      return { position: here, key: "", message: NOT_A_VALUE };
    }
    if (ends_in_equals) {
      const line_start = before.trimEnd().lastIndexOf("\n") + 1;
      const end = line_start + (assignment[1] ?? "").length;
      return { position: endOf(text.slice(0, end)), key: "", message: VALUE_MISSING };
    }
  }
  if (error.message.startsWith("The key, equals")) {
    const in_header = /(^|\n)[ \t]*\[[^\]\n]*$/.test(before.trimEnd());
    const message = in_header ? MESSAGES["Unterminated table-key"]! : EQUALS_MISSING;
    return { position: endOf(before), key: "", message };
  }
  const known = MESSAGES[error.message];
  const first = error.message.charAt(0).toLowerCase();
  const message = known ?? `${first}${error.message.slice(1)}; expected TOML 1.0`;
  const position = error.message.startsWith("Unterminated") ? endOf(before) : here;
  return { position, key: error.message === TWICE ? keyAt(text, error.index) : "", message };
}

/** Parses TOML 1.0. A byte order mark at the start is skipped. Never throws for any text. */
export function parseToml(file_text: string): TomlResult {
  const text = file_text.startsWith("\ufeff") ? file_text.slice(1) : file_text;
  try {
    const [top] = parseTOML(text, { tomlVersion: "1.0" }).body;
    const builder = new Builder(text);
    for (const node of top.body) {
      if (node.type === "TOMLTable") builder.table(node);
      else builder.keyValue(node, builder.root, []);
    }
    const entry = (path: TomlPath) => builder.entries.get(JSON.stringify(path));
    return { ok: true, document: { value: builder.root, entry } };
  } catch (error) {
    // The parser descends recursively and passes a string as arguments: RangeErrors without a place.
    if (error instanceof RangeError) {
      const message = "nested too deeply, or a string of more than some 120,000 characters";
      return { ok: false, position: { line: 1, column: 1 }, key: "", message };
    }
    if (!(error instanceof ParseError)) throw error;
    return { ok: false, ...syntaxProblem(text, error) };
  }
}
