/** Reads the module of a policy that a command line names. For a source it tells how the module is built. */
import { failed, printable, usageError } from "../terminal/exit.ts";
import { readInput } from "../terminal/input.ts";
import type { Io } from "../terminal/io.ts";
import { PolicyModuleError } from "../../wasm/module/errors.ts";

const BUILDS: Readonly<Record<string, (file: string) => string>> = {
  ts: (file) => `arq policy build ${file} makes it`,
  wat: () => "wat2wasm makes it",
  c: () => "clang makes it, as docs/policies.md shows",
  rs: () => "rustc makes it, as docs/policies.md shows",
};

/** The module's bytes. Throws a usage error for the path of a source, even if no such file exists. */
export async function readModuleFile(io: Io, file: string): Promise<Uint8Array> {
  requireModule(file);
  return await readInput(io, file);
}

/** Throws a usage error, with the command that builds the module, when the file is a policy's source. */
export function requireModule(file: string): void {
  const ending = /\.([a-z]+)$/i.exec(file)?.[1]?.toLowerCase() ?? "";
  const build = Object.hasOwn(BUILDS, ending) ? BUILDS[ending] : undefined;
  if (build === undefined) return;
  throw usageError(
    `${file} is a policy's source; expected the module that is built of it, a .wasm file`,
    build(file),
  );
}

/** The result; a module that no bus accepts becomes an error for people, which may name a command with details. */
export async function unlessRefused<T>(
  file: string,
  make: () => T | Promise<T>,
  hint: string | null = `arq policy check ${file} has details`,
): Promise<T> {
  try {
    return await make();
  } catch (error) {
    if (!(error instanceof PolicyModuleError)) throw error;
    throw failed(
      `${file} is refused (${error.reason}): ${printable(error.message)}`,
      hint ?? undefined,
    );
  }
}
