/**
 * `arq config check|explain|schema`: say whether a server would accept a configuration, what a key means, and
 * print the JSON Schema for editors. They start nothing, and read only the configuration and the files that
 * it names. `arq doctor` looks at the machine.
 */
import { configJsonSchema } from "../../../shared/config/json_schema.ts";
import { constantAt } from "../../../shared/config/keys/constants.ts";
import { ConfigError, configText, parseConfig } from "../../../shared/config/load.ts";
import type { ConfigProblem } from "../../../shared/config/problems.ts";
import type { Config } from "../../../shared/config/schema.ts";
import { askedFiles, fileProblem } from "../../../shared/process/asked_files.ts";
import { namedFileProblems } from "../../doctor/config_files.ts";
import { fileLimit } from "../../doctor/system.ts";
import { explainKey, explanationText } from "../../config/config_explain.ts";
import { EXIT, printable, usageError } from "../../terminal/exit.ts";
import { readInput } from "../../terminal/input.ts";
import { type Io, print } from "../../terminal/io.ts";

/**
 * The problem of more connections than this process has files for, when a configuration asks for them by
 * name.
 */
async function filesProblem(io: Io, text: string, config: Config): Promise<ConfigProblem[]> {
  const asked = askedFiles(text, config.limits.connections_per_process);
  const limit = asked === undefined ? undefined : await fileLimit(io.signal);
  const problem = asked && limit !== undefined ? fileProblem(asked, limit) : undefined;
  return problem === undefined ? [] : [problem];
}

/** The problems of a configuration and, where it is valid, of the files that it names. */
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

/** Prints what a key or table means; without a key it lists the tables. */
export async function configExplain(
  io: Io,
  key: string | undefined,
  flags: { readonly json?: boolean },
): Promise<number> {
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
