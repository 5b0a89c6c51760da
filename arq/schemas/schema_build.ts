/**
 * Compiles `.proto` files to a gzipped FileDescriptorSet. buf does so as a child process, which gets the
 * sources as an archive on its stdin; it needs no temporary files and no registry on the network. The checks
 * that a bus makes of a set are made here too, but only a bus compares versions.
 */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { denoCommand, startChild } from "../../shared/process/deno_command.ts";
import { gzipSync } from "node:zlib";
import { createRegistry } from "@bufbuild/protobuf";
import { file_buf_validate_validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { readDescriptorSet, SchemaError } from "../../shared/schema/descriptors/descriptor_set.ts";
import type { DescriptorSet } from "../../shared/schema/descriptors/descriptor_set.ts";
import { CommandError, failed, printable, whyOf } from "../terminal/exit.ts";
import { concat } from "../../shared/containers/concat.ts";
import { type Io, resolvePath } from "../terminal/io.ts";
import { protoText } from "./proto_text.ts";
import { readInput } from "../terminal/input.ts";
import { tarEnd, tarHeader, tarPadding } from "../../shared/tar.ts";

/** A program, and the arguments that come before its own. */
interface BufCommand {
  readonly command: string;
  readonly args: readonly string[];
}

/** Advice for when buf cannot be found. */
const BUF_HINT =
  "npm install @bufbuild/buf, or have buf on the PATH (https://buf.build/docs/cli/installation); " +
  "an existing set does not need it";

const ON_PATH: BufCommand = { command: "buf", args: [] };

/** The program of the npm package of buf, when the package is installed where `url` finds it. */
function installed(url: string): string | undefined {
  try {
    return createRequire(url).resolve("@bufbuild/buf/bin/buf");
  } catch {
    return undefined;
  }
}

/** The command for the `arq` whose main module is at `url`. */
export function bufCommand(
  url: string = import.meta.url,
  standalone: boolean = Deno.build.standalone,
  find: (url: string) => string | undefined = installed,
): BufCommand {
  if (standalone) return ON_PATH;
  const run = ["run", "--quiet", "-A"];
  if (!url.includes("/node_modules/")) {
    const config = fileURLToPath(new URL("../../deno.json", url));
    return { command: denoCommand(), args: [...run, "--config", config, "@bufbuild/buf"] };
  }
  const program = find(url);
  if (program === undefined) return ON_PATH;
  const alone = ["--no-config", "--no-lock", "--node-modules-dir=manual"];
  return { command: denoCommand(), args: [...run, ...alone, program] };
}

/** Most files in a folder; a descriptor set has at most 1,000. */
const FILES_MAX = 1_000;
const BYTES_MAX = 16 * 1_048_576;
const DEPTH_MAX = 32;

interface SchemaSources {
  /** The folder as given, with a slash; "" for none. It is prefixed to a file's path for people. */
  readonly folder: string;
  /** Files with their paths, as other files import them. */
  readonly files: readonly TarFile[];
}

const isProto = (path: string) => path.endsWith(".proto");

function checkName(path: string): void {
  // deno-lint-ignore no-control-regex -- buf fails on such a name
  if (!/[\\\u0000-\u001f]/.test(path)) return;
  throw new CommandError(`${printable(path)}: not a name for a .proto file`);
}

/** The paths below a folder, in order, without hidden folders and installed packages. */
async function walk(io: Io, folder: string): Promise<string[]> {
  const found: string[] = [];
  const visit = async (below: string, depth: number) => {
    const names = await io.files.list(below === "" ? folder : `${folder}/${below}`);
    for (const name of names.sort()) {
      const path = below === "" ? name : `${below}/${name}`;
      if (isProto(name)) {
        checkName(path);
        found.push(path);
        if (found.length <= FILES_MAX) continue;
        throw new CommandError(`${folder} holds more than ${FILES_MAX} .proto files`);
      }
      if (name.startsWith(".") || name === "node_modules") continue;
      if (depth >= DEPTH_MAX) {
        throw new CommandError(`${folder}/${path}: more than ${DEPTH_MAX} folders deep`);
      }
      await visit(path, depth + 1);
    }
  };
  await visit("", 1);
  return found;
}

/** The sources of the folder or file at `path`. Throws `CommandError` when there are none or too many. */
async function readSources(io: Io, path: string): Promise<SchemaSources> {
  if (isProto(path)) {
    const at = path.lastIndexOf("/") + 1;
    const bytes = await readInput(io, path);
    checkName(path.slice(at));
    return { folder: path.slice(0, at), files: [{ path: path.slice(at), bytes }] };
  }
  const absolute = resolvePath(io.cwd, path).replace(/\/+$/, "");
  const paths = await walk(io, absolute);
  if (paths.length === 0) throw new CommandError(`${path}: not a folder with .proto files`);
  const files: TarFile[] = [];
  let size_bytes = 0;
  for (const one of paths) {
    const bytes = await readInput(io, `${absolute}/${one}`);
    size_bytes += bytes.length;
    if (size_bytes > BYTES_MAX) {
      throw new CommandError(`${path}: the .proto files have more than ${BYTES_MAX} bytes`);
    }
    files.push({ path: one, bytes });
  }
  const folder = path.replace(/\/+$/, "");
  return { folder: folder === "." || folder === "" ? "" : `${folder}/`, files };
}

/** Longer than buf needs for the largest allowed sources. */
const BUILD_MS = 120_000;
const BUILD_ARGS = [
  "build",
  "-#format=tar",
  "--as-file-descriptor-set",
  "--exclude-source-info",
  "--error-format",
  "json",
  "-o",
  "-#format=binpb",
];

/** One problem that the compiler found. Lines and columns start at 1; 0 means the whole file. */
interface BuildProblem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/** A set that was built. */
export interface BuiltSchema {
  readonly gzipped: Uint8Array<ArrayBuffer>;
  readonly schema: DescriptorSet;
  /** Paths of the sources, as other files import them. */
  readonly files: readonly string[];
}

/** The sources do not compile. */
export class SchemaBuildError extends Error {
  override readonly name = "SchemaBuildError";
  readonly problems: readonly BuildProblem[];

  constructor(problems: readonly BuildProblem[]) {
    super(problems.map(problemLine).join("\n"));
    this.problems = problems;
  }
}

/** A problem in the form in which buf prints it: `a.proto:3:1:message`. */
export function problemLine({ file, line, column, message }: BuildProblem): string {
  const place = [file, line, column].filter((part) => part !== 0 && part !== "").join(":");
  return printable(place === "" ? message : `${place}:${message}`);
}

/** The file `validate.proto`, which defines rules, from the package that checks them. */
function validateProto(): TarFile {
  const file = file_buf_validate_validate;
  const text = protoText(file, createRegistry(file, ...file.dependencies));
  return { path: file.proto.name, bytes: new TextEncoder().encode(text) };
}

/** The sources, and the files that they may import without containing them. */
function withValidate({ files }: SchemaSources): readonly TarFile[] {
  const { name } = file_buf_validate_validate.proto;
  if (files.some(({ path }) => path === name)) return files;
  const wanted = files.some(({ bytes }) => new TextDecoder().decode(bytes).includes(name));
  return wanted ? [...files, validateProto()] : files;
}

function archiveOf(files: readonly TarFile[]): Uint8Array<ArrayBuffer> {
  try {
    return tarOf(files);
  } catch (error) {
    if (error instanceof RangeError) throw new CommandError(error.message);
    throw error;
  }
}

async function runBuf(io: Io, archive: Uint8Array<ArrayBuffer>) {
  const { command, args } = bufCommand();
  let child: Deno.ChildProcess;
  try {
    child = startChild(command, {
      args: [...args, ...BUILD_ARGS],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      signal: AbortSignal.any([io.signal, AbortSignal.timeout(BUILD_MS)]),
    });
  } catch (error) {
    const why = whyOf(error);
    const missing = command === "buf" && error instanceof Deno.errors.NotFound;
    const sentence = missing ? "buf, which compiles .proto files, is not installed" : why;
    const fix = command === "buf" ? BUF_HINT : undefined;
    throw failed(`buf cannot be started: ${sentence}`, fix);
  }
  // buf may end before it has read everything; its exit code tells why.
  const fed = new Blob([archive]).stream().pipeTo(child.stdin).catch(() => {});
  const { code, stdout, stderr } = await child.output();
  await fed;
  io.signal.throwIfAborted();
  return { code, stdout, stderr: new TextDecoder().decode(stderr).trim() };
}

function problemOf(line: string, folder: string): BuildProblem {
  try {
    const { path, start_line, start_column, message } = JSON.parse(line);
    const file = typeof path === "string" ? `${folder}${path}` : "";
    return {
      file,
      line: Number(start_line ?? 0),
      column: Number(start_column ?? 0),
      message: String(message),
    };
  } catch {
    return { file: "", line: 0, column: 0, message: line };
  }
}

/** Compiles sources. Throws `SchemaBuildError` when they do not compile or no bus would accept the set. */
async function compile(io: Io, sources: SchemaSources): Promise<BuiltSchema> {
  const { code, stdout, stderr } = await runBuf(io, archiveOf(withValidate(sources)));
  if (code !== 0) {
    const lines = stderr === "" ? ["buf exited without a message"] : stderr.split("\n");
    throw new SchemaBuildError(lines.map((line) => problemOf(line, sources.folder)));
  }
  const gzipped = new Uint8Array(gzipSync(stdout, { level: 9 }));
  try {
    const schema = readDescriptorSet(gzipped);
    return { gzipped, schema, files: sources.files.map(({ path }) => path) };
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    throw new SchemaBuildError([{ file: "", line: 0, column: 0, message: error.message }]);
  }
}

/** Builds the folder or file at `path`. Rejects with `CommandError` or `SchemaBuildError`. */
export async function buildSchema(io: Io, path: string): Promise<BuiltSchema> {
  return await compile(io, await readSources(io, path));
}

/** Full names of the messages that a set's own files declare, in their order, without nested ones. */
export function messagesOf({ schema, files }: BuiltSchema): string[] {
  return files.flatMap((file) =>
    schema.registry.getFile(file)?.messages.map(({ typeName }) => typeName) ?? []
  );
}

/** One file of an archive; the path is relative, with `/` between its parts. */
interface TarFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** The bytes of the archive. Throws RangeError for a path that is too long for the format. */
export function tarOf(files: readonly TarFile[]): Uint8Array<ArrayBuffer> {
  const parts = files.flatMap(({ path, bytes }) => [
    tarHeader(path, bytes.length),
    bytes,
    tarPadding(bytes.length),
  ]);
  parts.push(tarEnd());
  return concat(parts);
}
