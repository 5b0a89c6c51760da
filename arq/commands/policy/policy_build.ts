/**
 * `arq policy build`: compiles a policy (or another kind of guest) written in AssemblyScript. It needs no bus and
 * leaves the checks of a bus to `arq policy check`.
 */
import { compilePolicy, PolicyCompileError } from "../../../policies/compiler/assemblyscript.ts";
import type { PolicySources } from "../../../policies/compiler/assemblyscript.ts";
import { plural } from "../../../shared/plural.ts";
import { schemaOf } from "../../../wasm/reducer/schema/room_schema.ts";
import { cannotRead, EXIT, printable, usageError } from "../../terminal/exit.ts";
import { readInput, writeOutput } from "../../terminal/input.ts";
import { type Ended, type Io, print, resolvePath } from "../../terminal/io.ts";
import { POLICY_SDK, POLICY_SDK_FOLDER } from "../../policies/policy_sdk.ts";
import type { Flags } from "../../program/flags.ts";
import { compileReducer } from "../../../policies/compiler/reducer.ts";
import { REDUCER_SDK } from "../../reducers/reducer_sdk.ts";
import { linesText } from "../../terminal/columns.ts";

/** The author's names for the compiler's folders `policy/` and `sdk/`. */
interface SourceFolders {
  /** Each path ends in a slash, or is empty. */
  readonly policy: string;
  readonly sdk: string;
}

const HEAD = /^ERROR ([A-Z]+\d+): (.*)$/;
const PLACE = /^ +└─ in (.+)\((\d+),(\d+)\)$/;
const EXCERPT = /^ *\d* │ /;
/** The code of "File not found". */
const NOT_FOUND = "TS6054";

function authorPath(path: string, folders: SourceFolders): string {
  if (path.startsWith("policy/")) return folders.policy + path.slice("policy/".length);
  if (path.startsWith("sdk/")) return folders.sdk + path.slice("sdk/".length);
  return path;
}

function messageOf(code: string, text: string, folders: SourceFolders): string {
  if (code !== NOT_FOUND) return text;
  const [, path = ""] = /'([^']*)'/.exec(text) ?? [];
  if (path.startsWith("policy/")) return text.replace(path, authorPath(path, folders));
  return `${text} A policy imports "@arqon/policy/v2" (or "@arqon/policy" for version 1 of the ABI) and what is in its own folder or below it.`;
}

type CompileProblem = NonNullable<ReturnType<typeof problemOf>>;

/** The problem in one block of the compiler's text; undefined when the block has no place in a file. */
function problemOf(block: string, folders: SourceFolders) {
  const [head = "", ...lines] = block.split("\n");
  const [, code, text] = HEAD.exec(head) ?? [];
  const at = lines.findIndex((line) => PLACE.test(line));
  const [, path, line, column] = PLACE.exec(lines[at] ?? "") ?? [];
  if (code === undefined || text === undefined || path === undefined) return undefined;
  return {
    /** As the author names it. A file of the compiler's own library has its name there. */
    file: authorPath(path, folders),
    line: Number(line),
    column: Number(column),
    code,
    message: messageOf(code, text, folders),
    /** The line of the source with a mark below; "" when the compiler shows none. */
    excerpt: lines.slice(0, at).filter((one) => EXCERPT.test(one)).join("\n"),
  };
}

/** The problems in the compiler's text, in its order; empty when the text has none in this form. */
export function compileProblems(text: string, folders: SourceFolders): readonly CompileProblem[] {
  return text.split(/\n\n+/).flatMap((block) => problemOf(block, folders) ?? []);
}

/** A kind of guest: how it is compiled, and with which SDK. */
export interface GuestKind {
  readonly noun: "policy" | "reducer";
  /** The text of each file of the guest SDK, by its name. */
  readonly sdk: Readonly<Record<string, string>>;
  /** Folder under which problems in the SDK's own files are shown. */
  readonly sdk_folder: string;
  readonly compile: (sources: PolicySources) => Promise<Uint8Array<ArrayBuffer>>;
}

const POLICY: GuestKind = {
  noun: "policy",
  sdk: POLICY_SDK,
  sdk_folder: POLICY_SDK_FOLDER,
  compile: compilePolicy,
};

/** The folder of a path with its slash ("" for none), and the name. */
function split(path: string): readonly [folder: string, name: string] {
  const at = path.lastIndexOf("/") + 1;
  return [path.slice(0, at), path.slice(at)];
}

function outputOf(entry: string, given: string | undefined): string {
  if (given === undefined) return entry.replace(/\.ts$/, ".wasm");
  if (/\.wasm$/i.test(given)) return given;
  throw usageError(`-o ${given}: the module's name must end in .wasm`);
}

/** The text of a file; undefined when there is none. The compiler also asks for files that need not exist. */
async function readIfThere(io: Io, path: string): Promise<string | undefined> {
  try {
    return new TextDecoder().decode(await io.files.read(path));
  } catch (error) {
    const missing = error instanceof Deno.errors.NotFound ||
      error instanceof Deno.errors.NotADirectory || error instanceof Deno.errors.IsADirectory;
    if (missing) return undefined;
    throw cannotRead(path, error);
  }
}

function problemText(problem: CompileProblem): string {
  const { file, line, column, code, message, excerpt } = problem;
  const head = printable(`${file}:${line}:${column}: ${message} (${code})`);
  const lines = excerpt === "" ? [] : excerpt.split("\n").map((one) => `  ${printable(one)}`);
  return [head, ...lines].map((one) => `${one}\n`).join("");
}

/** Reports the problems: on stdout for programs, on stderr for people. */
async function tellProblems(
  io: Io,
  entry: string,
  error: PolicyCompileError,
  folders: SourceFolders,
  json: boolean,
): Promise<Ended> {
  const problems = compileProblems(error.message, folders);
  const message = problems.length === 0 ? error.message : undefined;
  const failed = { entry, built: false, problems, ...(message === undefined ? {} : { message }) };
  if (json) return { json: failed, text: "", code: EXIT.failure };
  const text = message === undefined
    ? problems.map(problemText).join("")
    : linesText(message.split("\n"));
  await print(io.stderr, `arq: ${printable(entry)} does not compile\n${text}`);
  return EXIT.failure;
}

/** The names of the hooks that a module exports, without their prefix. */
export function hooksOf(bytes: Uint8Array): readonly string[] {
  return WebAssembly.Module.exports(new WebAssembly.Module(new Uint8Array(bytes)))
    .flatMap(({ name }) => name.startsWith("arqon_on_") ? [name.slice("arqon_".length)] : []);
}

/** The module compiled from a source. Rejects with `PolicyCompileError`. */
export async function compileFile(
  io: Io,
  entry: string,
  { sdk, compile }: GuestKind = POLICY,
): Promise<Uint8Array<ArrayBuffer>> {
  const [folder, name] = split(entry);
  await readInput(io, entry);
  const policy_folder = resolvePath(io.cwd, folder);
  const readFile = async (path: string) => {
    if (!path.startsWith("policy/")) return sdk[path.slice("sdk/".length)];
    return await readIfThere(io, `${policy_folder}${path.slice("policy/".length)}`);
  };
  return await compile({ entry: name, readFile });
}

/** Compiles a guest, writes the module and describes it. Returns 1 when it does not compile. */
export async function policyBuild(
  io: Io,
  entry: string,
  flags: Flags,
  kind: GuestKind = POLICY,
): Promise<Ended> {
  const [folder, name] = split(entry);
  // deno-lint-ignore no-control-regex -- the name is in a string of the program that is compiled
  if (!/^[^"\\\u0000-\u001f]+\.ts$/.test(name) || name.endsWith(".d.ts")) {
    const hint = `arq ${kind.noun} build ${kind.noun}.ts`;
    throw usageError(`${entry}: a ${kind.noun}'s source is a .ts file`, hint);
  }
  const output = outputOf(entry, flags.output);
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = await compileFile(io, entry, kind);
  } catch (error) {
    if (!(error instanceof PolicyCompileError)) throw error;
    const folders = { policy: folder, sdk: kind.sdk_folder };
    return await tellProblems(io, entry, error, folders, flags.json === true);
  }
  await writeOutput(io, output, bytes);
  const hooks = hooksOf(bytes);
  const size_bytes = bytes.length;
  const schema = kind.noun === "reducer" ? schemaOf(bytes) : undefined;
  const commands = schema && Object.keys(schema.commands);
  const about = kind.noun === "policy" ? { hooks } : { commands };
  const known = commands === undefined ? [] : [`a schema of ${plural(commands.length, "command")}`];
  return {
    json: { entry, built: true, file: output, size_bytes, ...about },
    text: `${printable([`${output}: ${size_bytes} bytes`, ...known, ...hooks].join(", "))}\n`,
  };
}

const REDUCER: GuestKind = {
  noun: "reducer",
  sdk: REDUCER_SDK,
  sdk_folder: "@arqon/reducer/",
  compile: compileReducer,
};

/** Compiles a reducer and writes the module. Returns 1 and writes nothing when it does not compile. */
export const reducerBuild = (io: Io, entry: string, flags: Flags): Promise<Ended> =>
  policyBuild(io, entry, flags, REDUCER);
