/** Reads whole files that a command line names. Errors have the path. */
import { CommandError } from "./exit.ts";
import { resolvePath } from "./io.ts";
import type { Io } from "./io.ts";

/** The bytes of a file. Throws `CommandError` when it cannot be read. */
export async function readInput(io: Io, file: string): Promise<Uint8Array> {
  const path = resolvePath(io.cwd, file);
  try {
    return await io.files.read(path);
  } catch (error) {
    throw new CommandError(
      `cannot read ${path}: ${error instanceof Error ? error.message : error}`,
    );
  }
}
