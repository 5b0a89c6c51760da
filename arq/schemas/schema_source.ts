/**
 * Reads the Protobuf sources that a command line names: a folder with all `.proto` files below it, or one
 * file. It bounds their number and size; `schema_build.ts` compiles them.
 */
import { CommandError, printable } from "../terminal/exit.ts";
import { readInput } from "../terminal/input.ts";
import { resolvePath } from "../terminal/io.ts";
import type { Io } from "../terminal/io.ts";
import type { TarFile } from "./schema_tar.ts";

/** Most files in a folder; a descriptor set has at most 1,000. */
const FILES_MAX = 1_000;
const BYTES_MAX = 16 * 1_048_576;
const DEPTH_MAX = 32;

/** The files that are compiled together. */
export interface SchemaSources {
  /** The folder as it was given, with a slash; "" for none. It stands before a file's path for people. */
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
export async function readSources(io: Io, path: string): Promise<SchemaSources> {
  if (isProto(path)) {
    const at = path.lastIndexOf("/") + 1;
    const bytes = await readInput(io, path);
    checkName(path.slice(at));
    return { folder: path.slice(0, at), files: [{ path: path.slice(at), bytes }] };
  }
  const absolute = resolvePath(io.cwd, path).replace(/\/+$/, "");
  const paths = await walk(io, absolute);
  if (paths.length === 0) throw new CommandError(`${path}: no folder with .proto files`);
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
