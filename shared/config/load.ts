/**
 * From the text of `config.toml` to a checked `Config`, or to one error that names every problem with its line, column
 * and key. Reads no file: `main.ts` does, and passes the text.
 */
import { isTable, splitConstants, withConstants } from "./keys/constants.ts";
import { type ConfigProblem, explain } from "./problems.ts";
import { type Config, ConfigSchema } from "./schema.ts";
import { parseToml, type TomlDocument } from "./toml.ts";

const PROBLEMS_SHOWN = 20;

/** Defaults that differ from process to process: a Brain's listeners are at 4101 and 4102. */
export interface ConfigDefaults {
  /** Address of the client and ops listeners; the dev bus listens on loopback only. */
  readonly host?: string;
  readonly ops_port?: number;
  readonly admin_port?: number;
  /** Default of `[admin] operator_tenants`; only a development bus has one. */
  readonly operator_tenants?: readonly string[];
}

/** What parsing needs besides the text. */
export interface ParseOptions {
  /** Name of the file, for messages. */
  readonly file: string;
  readonly defaults?: ConfigDefaults;
}

function line(file: string, problem: ConfigProblem): string {
  const place = problem.position === undefined
    ? file
    : `${file}:${problem.position.line}:${problem.position.column}`;
  return [place, problem.key === "" ? problem.text : `${problem.key}: ${problem.text}`]
    .filter((part) => part !== "").join(" ");
}

/** The configuration cannot be used. The message has one line per problem, in the order of the file. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly ConfigProblem[];

  constructor(file: string, problems: readonly ConfigProblem[]) {
    const lines = problems.slice(0, PROBLEMS_SHOWN).map((problem) => line(file, problem));
    const rest = problems.length - lines.length;
    if (rest > 0) lines.push(`and ${rest} more`);
    super(lines.join("\n"));
    this.problems = problems;
  }
}

type Table = Record<string, unknown>;

/** Puts `preset` into a listener's table where the file sets no value. */
function withPreset(
  value: Table,
  name: "server" | "ops" | "admin",
  preset: Readonly<Record<string, unknown>>,
): Table {
  const table = value[name] ?? {};
  if (!isTable(table)) return value;
  const given = Object.entries(preset).filter(([, setting]) => setting !== undefined);
  if (given.length === 0) return value;
  return { ...value, [name]: { ...Object.fromEntries(given), ...table } };
}

function withDefaults(value: unknown, defaults: ConfigDefaults): unknown {
  if (!isTable(value)) return value;
  const { host, ops_port, admin_port, operator_tenants } = defaults;
  const server = withPreset(value, "server", { host });
  const ops = withPreset(server, "ops", { host, port: ops_port });
  return withPreset(ops, "admin", { port: admin_port, operator_tenants });
}

function checked(
  value: unknown,
  file: string,
  defaults: ConfigDefaults,
  { document, constants = {} }: { document?: TomlDocument; constants?: Table } = {},
): Config {
  const result = ConfigSchema.safeParse(withDefaults(value, defaults));
  if (result.success) return withConstants(result.data, constants) as Config;
  throw new ConfigError(file, explain(result.error.issues, value, document));
}

/**
 * The checked configuration with every default filled in; empty text gives all defaults. Throws
 * ConfigError for a syntax error (the first one) or for everything that is wrong with the values.
 */
export function parseConfig(text: string, options: ParseOptions): Config {
  const result = parseToml(text);
  if (!result.ok) {
    throw new ConfigError(options.file, [
      { position: result.position, key: result.key, text: result.message },
    ]);
  }
  const { document } = result;
  return checked(document.value, options.file, options.defaults ?? {}, { document });
}

/** The most bytes of a configuration file: 10,000 room classes with all keys. Its parser takes 100 times as many. */
const FILE_BYTES_MAX = 8_388_608;

/** Throws ConfigError for a file of more bytes than a configuration may have. */
export function requireFileSize(size_bytes: number, file: string): void {
  if (size_bytes <= FILE_BYTES_MAX) return;
  const text = `it has ${size_bytes} bytes; expected at most ${FILE_BYTES_MAX}`;
  throw new ConfigError(file, [{ position: undefined, key: "", text }]);
}

/**
 * The text of a configuration file. Throws ConfigError for too many bytes, and for bytes that are not UTF-8, with the
 * position of the first such byte: replacing them would change the text.
 */
export function configText(bytes: Uint8Array, file: string): string {
  requireFileSize(bytes.length, file);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    const lines = goodBeginning(bytes).split("\n");
    const position = { line: lines.length, column: (lines.at(-1) ?? "").length + 1 };
    const text = "it is not UTF-8 from here on; expected a file in UTF-8";
    throw new ConfigError(file, [{ position, key: "", text }]);
  }
}

/** The part of the bytes before the first that is not UTF-8, as text. */
function goodBeginning(bytes: Uint8Array): string {
  // With `stream`, a character cut at the end is neither an error nor part of the text.
  const read = (end: number, fatal: boolean) =>
    new TextDecoder("utf-8", { fatal }).decode(bytes.subarray(0, end), { stream: true });
  let good = 0;
  let bad = bytes.length + 1;
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    try {
      read(middle, true);
      good = middle;
    } catch {
      bad = middle;
    }
  }
  return read(good, false);
}

/** The error of a start when a file that the configuration names by `key` cannot be read. */
export function unreadable(key: string, path: string, cause: unknown): ConfigError {
  const what = cause instanceof Error ? cause.message : String(cause);
  const text = `${JSON.stringify(path)} cannot be read (${what}); give the path of a file`;
  return new ConfigError("", [{ position: undefined, key, text }]);
}

/**
 * The checked configuration of a value that was built in code (tests, `deno task dev`), which may set constants, too.
 * Throws ConfigError without places.
 */
export function configFrom(value: unknown, defaults: ConfigDefaults = {}): Config {
  const [rest, constants] = splitConstants(value);
  return checked(rest, "", defaults, { constants });
}
