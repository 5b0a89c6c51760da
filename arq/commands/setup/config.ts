/**
 * `arq config check|explain|schema`: check whether a server would accept a configuration, explain a key, and print the
 * JSON Schema for editors. They start nothing, and read only the configuration and the files that it names. `arq
 * doctor` checks the machine.
 */
import { configJsonSchema, expectation, grouped } from "../../../shared/config/json_schema.ts";
import type { JsonSchema } from "../../../shared/config/json_schema.ts";
import { LIVE_WHILE_SET } from "../../../shared/config/keys/live_keys.ts";
import { nearest } from "../../../shared/config/suggest.ts";
import { constantAt } from "../../../shared/config/keys/constants.ts";
import { ConfigError, configText, parseConfig } from "../../../shared/config/load.ts";
import type { ConfigProblem } from "../../../shared/config/problems.ts";
import type { Config } from "../../../shared/config/schema.ts";
import { askedFiles, fileProblem } from "../../../shared/process/asked_files.ts";
import { namedFileProblems } from "../../doctor/config_files.ts";
import { fileLimit } from "../../doctor/system.ts";
import { EXIT, printable, usageError } from "../../terminal/exit.ts";
import type { Flags } from "../../program/flags.ts";
import { readInput } from "../../terminal/input.ts";
import type { Ended, Io } from "../../terminal/io.ts";

/** One key or table of the configuration. */
export interface ConfigEntry {
  /** Full name, `auth.issuers.jwks_url`; empty for the whole file. */
  readonly key: string;
  readonly kind: "key" | "table" | "array of tables";
  /** What the value must be, in words. */
  readonly expects: string;
  readonly description: string;
  readonly required: boolean;
  /** The default; undefined when the key is absent unless it is set. */
  readonly default: unknown;
  readonly minimum: number | undefined;
  readonly maximum: number | undefined;
  /** Whether a running process adopts another value; undefined for a table, whose keys may differ. */
  readonly live: boolean | undefined;
  /** The keys and tables directly in a table. */
  readonly members: readonly ConfigEntry[];
}

const NEAR_MAX = 5;

/** The table that a schema describes, also as the items of a list; undefined for a plain value. */
function tableOf(node: JsonSchema): JsonSchema | undefined {
  if (node.type === "object") return node;
  return node.items?.type === "object" ? node.items : undefined;
}

function entryOf(node: JsonSchema, key: string, required: boolean): ConfigEntry {
  const table = tableOf(node);
  const kind = table === undefined ? "key" : node.type === "array" ? "array of tables" : "table";
  const members = Object.entries(table?.properties ?? {}).map(([name, child]) =>
    entryOf(child, key === "" ? name : `${key}.${name}`, table?.required?.includes(name) ?? false)
  );
  return {
    key,
    kind,
    expects: expectation(node),
    description: node.description ?? "",
    required,
    default: table === undefined ? node.default : undefined,
    minimum: node.minimum,
    maximum: node.maximum,
    live: table === undefined ? node["x-live"] === true : undefined,
    members,
  };
}

/** The entry of the whole configuration. */
export function configEntry(): ConfigEntry {
  return entryOf({ ...configJsonSchema(), type: "object" }, "", false);
}

function all(entry: ConfigEntry): readonly ConfigEntry[] {
  return entry.members.flatMap((member) => [member, ...all(member)]);
}

/**
 * The normalized form of a key: `[auth.issuers]`, `auth.issuers[0].issuer` and `auth.issuers.issuer` refer to the same
 * table or key.
 */
function plainKey(text: string): string {
  return text.trim().replace(/\[\d+\]/g, "").replace(/[[\]"'\s]/g, "").replace(/^\.+|\.+$/g, "");
}

const leaf = (key: string) => key.slice(key.lastIndexOf(".") + 1);

/** Keys that the user may have meant, best match first. */
function nearKeys(key: string, known: readonly string[]): readonly string[] {
  const whole = nearest(key, known);
  if (whole !== undefined) return [whole];
  const name = nearest(leaf(key), [...new Set(known.map(leaf))]);
  const exact = known.filter((one) => leaf(one) === leaf(key));
  const similar = known.filter((one) => leaf(one) === name);
  const parts = known.filter((one) => leaf(key).length >= 3 && leaf(one).includes(leaf(key)));
  return [...new Set([...exact, ...similar, ...parts])].slice(0, NEAR_MAX);
}

/**
 * Finds a key or table by its full name, or by the last part of the name if that is unique. Else the keys of that name,
 * and similar ones.
 */
export function explainKey(text: string, root: ConfigEntry = configEntry()) {
  const key = plainKey(text);
  if (key === "") return { found: root };
  const entries = all(root);
  const exact = entries.find((entry) => entry.key === key);
  if (exact !== undefined) return { found: exact };
  const same = key.includes(".") ? [] : entries.filter((entry) => leaf(entry.key) === key);
  const [only] = same;
  if (only !== undefined && same.length === 1) return { found: only };
  const known = entries.map((entry) => entry.key);
  return { found: undefined, same: same.map((entry) => entry.key), near: nearKeys(key, known) };
}

/** A default value in TOML. */
function valueText(value: unknown): string {
  return typeof value === "number" ? grouped(value) : JSON.stringify(value);
}

function defaultText(entry: ConfigEntry): string {
  if (entry.required) return "required";
  return entry.default === undefined ? "absent by default" : `default ${valueText(entry.default)}`;
}

const headerOf = ({ key, kind }: ConfigEntry) => kind === "table" ? `[${key}]` : `[[${key}]]`;

const sentence = (text: string) =>
  text === "" ? "" : `${text[0]?.toUpperCase()}${text.slice(1)}.\n`;

function tableText(entry: ConfigEntry): string {
  const width = Math.max(...entry.members.map(({ key }) => leaf(key).length));
  const lines = entry.members.map((member) => {
    const name = leaf(member.key).padEnd(width);
    if (member.kind !== "key") return `  ${name}  ${headerOf(member)} ${member.description}\n`;
    const value = `${member.expects.replace(" in quotes", "")}; ${defaultText(member)}`;
    const live = member.live === true ? "; live" : "";
    return `  ${name}  ${value}${live}\n  ${"".padEnd(width)}  ${member.description}\n`;
  });
  const head = entry.key === "" ? "config.toml\n" : `${headerOf(entry)}\n`;
  return `${head}${sentence(entry.description)}\n${lines.join("")}`;
}

/** What a change of the value means for a running process. */
function liveText({ key, live }: ConfigEntry): string {
  if (live !== true) return "not live: another value needs a restart";
  const taken =
    "live: a running process takes another value over on SIGHUP or POST /v1/config/reload";
  return LIVE_WHILE_SET.has(key) ? `${taken}, while it is set` : taken;
}

/** The text of an entry, for people. */
export function explanationText(entry: ConfigEntry): string {
  if (entry.kind !== "key") return tableText(entry);
  const at = entry.key.lastIndexOf(".");
  const table = entry.key.slice(0, Math.max(0, at));
  const value = entry.expects.replace(" in quotes", "");
  const example = entry.default === undefined
    ? ""
    : `\n  ${table === "" ? "" : `[${table}]  `}${leaf(entry.key)} = ${valueText(entry.default)}\n`;
  return `${entry.key}\n${sentence(entry.description)}  ${value}; ${defaultText(entry)}\n` +
    `  ${liveText(entry)}\n${example}`;
}

/** The problem when a configuration explicitly sets more connections than this process may open files. */
async function filesProblem(io: Io, text: string, config: Config): Promise<ConfigProblem[]> {
  const needed = askedFiles(text, config.limits.connections_per_process);
  const limit = needed === undefined ? undefined : await fileLimit(io.signal);
  const problem = needed && limit !== undefined ? fileProblem(needed, limit) : undefined;
  return problem === undefined ? [] : [problem];
}

/** The problems of a configuration and, if it is valid, of the files that it names. */
async function configProblems(
  io: Io,
  bytes: Uint8Array,
  file: string,
  with_files: boolean,
): Promise<readonly ConfigProblem[]> {
  try {
    const text = configText(bytes, file);
    const config = parseConfig(text, { file });
    if (!with_files) return [];
    return [...await filesProblem(io, text, config), ...await namedFileProblems(io, config)];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

function problemText(file: string, { position, key, text }: ConfigProblem): string {
  const place = position === undefined ? file : `${file}:${position.line}:${position.column}`;
  return `${printable(`${place} ${key === "" ? text : `${key}: ${text}`}`)}\n`;
}

/** Prints every problem of the file with its place. Returns 1 when there is one. */
export async function configCheck(io: Io, file: string, flags: Flags<"files">): Promise<Ended> {
  const problems = await configProblems(io, await readInput(io, file), file, flags.files);
  const valid = problems.length === 0;
  const named = problems.map(({ position, key, text }) => ({
    line: position?.line ?? null,
    column: position?.column ?? null,
    key,
    text,
  }));
  return {
    json: { file, valid, problems: named },
    text: valid
      ? `${printable(file)} is a valid configuration\n`
      : problems.map((problem) => problemText(file, problem)).join(""),
    code: valid ? EXIT.ok : EXIT.failure,
  };
}

/** Prints what a key or table means; without a key it lists the tables. */
export function configExplain(_io: Io, key: string | undefined): Ended {
  const explanation = explainKey(key ?? "");
  if (explanation.found === undefined) {
    const { same, near } = explanation;
    const what = printable(JSON.stringify(key));
    const constant = constantAt((key ?? "").split("."));
    if (constant !== undefined) {
      throw usageError(
        `${what} is a constant now, ${JSON.stringify(constant.value)}`,
        constant.why,
      );
    }
    if (same.length > 0) {
      throw usageError(`${what} names several keys`, `say which: ${same.join(", ")}`);
    }
    const hint = near.length === 0
      ? "arq config explain lists the tables"
      : `did you mean ${near.join(", ")}?`;
    throw usageError(`there is no key or table ${what}`, hint);
  }
  const entry = explanation.found;
  return { json: entry, text: explanationText(entry) };
}

/** Prints the JSON Schema of `config.toml`. */
export function configSchema(): Ended {
  const json = configJsonSchema();
  return { json, text: `${JSON.stringify(json, undefined, 2)}\n` };
}
