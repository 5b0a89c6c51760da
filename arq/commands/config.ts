/**
 * `arq config check|explain|schema`: what a server would say of a configuration, what a key means, and
 * the JSON Schema for editors. Starts nothing; reads the file that is checked and those that it names.
 * `arq doctor` looks at the machine.
 */
import { configJsonSchema } from "../../shared/config/json_schema.ts";
import { ConfigError, configText, parseConfig } from "../../shared/config/load.ts";
import type { ConfigProblem } from "../../shared/config/problems.ts";
import type { Config } from "../../shared/config/schema.ts";
import { parseToml } from "../../shared/config/toml.ts";
import { namedFileProblems } from "../config_files.ts";
import { fileLimit, OTHER_FILES } from "../doctor/system.ts";
import { explainKey, explanationText } from "../config_explain.ts";
import { EXIT, printable, usageError } from "../exit.ts";
import { readInput } from "../input.ts";
import { print } from "../io.ts";
import type { Io } from "../io.ts";

/**
 * Connections that somebody has asked for by name, and that a process here may not have. The default is no
 * such wish: where fewer files are allowed, the listener takes fewer.
 */
async function filesProblem(io: Io, text: string, config: Config): Promise<ConfigProblem[]> {
  const parsed = parseToml(text);
  const path = ["limits", "connections_per_process"];
  const wish = parsed.ok ? parsed.document.entry(path) : undefined;
  const limit = wish === undefined ? undefined : await fileLimit(io.signal);
  const needed = config.limits.connections_per_process + OTHER_FILES;
  if (wish === undefined || limit === undefined || needed <= limit) return [];
  const told = `${wish.source} needs ${needed} open files, and a process here may open ${limit}; ` +
    `expected at most ${Math.max(0, limit - OTHER_FILES)}, or a higher ulimit -n`;
  return [{ position: wish.value, key: path.join("."), text: told }];
}

/** What is wrong with a configuration and, where it is valid, with the files that it names. */
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

/** Prints every problem of the file with its place; 1 when there is one. */
export async function configCheck(
  io: Io,
  file: string,
  flags: { readonly json?: boolean; readonly files: boolean },
): Promise<number> {
  const problems = await configProblems(io, await readInput(io, file), file, flags.files);
  const valid = problems.length === 0;
  if (flags.json === true) {
    const told = problems.map(({ position, key, text }) => ({
      line: position?.line ?? null,
      column: position?.column ?? null,
      key,
      text,
    }));
    await print(io.stdout, `${JSON.stringify({ file, valid, problems: told })}\n`);
  } else if (valid) {
    await print(io.stdout, `${printable(file)} is a valid configuration\n`);
  } else {
    await print(io.stdout, problems.map((problem) => problemText(file, problem)).join(""));
  }
  return valid ? EXIT.ok : EXIT.failure;
}

/** Prints what a key or table is; without a key the tables there are. */
export async function configExplain(
  io: Io,
  key: string | undefined,
  flags: { readonly json?: boolean },
): Promise<number> {
  const explanation = explainKey(key ?? "");
  if (explanation.found === undefined) {
    const { same, near } = explanation;
    const what = printable(JSON.stringify(key));
    if (same.length > 0) {
      throw usageError(`${what} is the name of several keys`, `say which: ${same.join(", ")}`);
    }
    const hint = near.length === 0
      ? "arq config explain lists the tables"
      : `did you mean ${near.join(", ")}?`;
    throw usageError(`there is no key or table ${what}`, hint);
  }
  const entry = explanation.found;
  await print(
    io.stdout,
    flags.json === true ? `${JSON.stringify(entry)}\n` : explanationText(entry),
  );
  return EXIT.ok;
}

/** Prints the JSON Schema of `config.toml`. */
export async function configSchema(io: Io, flags: { readonly json?: boolean }): Promise<number> {
  await print(
    io.stdout,
    `${JSON.stringify(configJsonSchema(), undefined, flags.json === true ? 0 : 2)}\n`,
  );
  return EXIT.ok;
}
