/**
 * `arq schema build`: compiles `.proto` files to the set that a bus registers. It needs no bus and leaves the
 * comparison of versions to `arq schema check`.
 */
import { cannotWrite, EXIT, printable } from "../../terminal/exit.ts";
import { type Io, print, resolvePath } from "../../terminal/io.ts";
import {
  buildSchema,
  messagesOf,
  problemLine,
  SchemaBuildError,
} from "../../schemas/schema_build.ts";
import type { Flags } from "../../program/flags.ts";

/** Most names in a line; a real feed schema has hundreds. */
const SHOWN_MAX = 8;

function outputOf(io: Io, path: string, given: string | undefined): string {
  if (given !== undefined) return given;
  const name = resolvePath(io.cwd, path).split("/").filter((part) => part !== "" && part !== ".")
    .pop() ?? "schema";
  return `${name === ".." ? "schema" : name.replace(/\.proto$/, "")}.binpb.gz`;
}

/** Tells why sources do not compile: on stdout for programs, on stderr for people. Returns the exit code. */
export async function tellBuildProblems(
  io: Io,
  source: string,
  { problems }: SchemaBuildError,
  json: boolean,
): Promise<number> {
  if (json) {
    await print(io.stdout, `${JSON.stringify({ source, built: false, problems })}\n`);
    return EXIT.failure;
  }
  const lines = problems.map((problem) => `${problemLine(problem)}\n`).join("");
  await print(io.stderr, `arq: ${printable(source)} does not compile\n${lines}`);
  return EXIT.failure;
}

/** Writes the set and prints what is in it. Returns 1 and writes nothing when it does not compile. */
export async function schemaBuild(
  io: Io,
  source: string,
  flags: Flags,
): Promise<number> {
  const file = outputOf(io, source, flags.output);
  try {
    const built = await buildSchema(io, source);
    await writeOutput(io, file, built.gzipped);
    const messages = messagesOf(built);
    const { files, gzipped: { length: size_bytes } } = built;
    if (flags.json === true) {
      const answer = { source, built: true, file, size_bytes, files, messages };
      await print(io.stdout, `${JSON.stringify(answer)}\n`);
      return EXIT.ok;
    }
    const shown = messages.slice(0, SHOWN_MAX).join(", ");
    const more = messages.length > SHOWN_MAX ? ` and ${messages.length - SHOWN_MAX} more` : "";
    const what = messages.length === 0 ? "no messages" : `${shown}${more}`;
    await print(io.stdout, `${printable(file)}: ${size_bytes} bytes, ${printable(what)}\n`);
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof SchemaBuildError)) throw error;
    return await tellBuildProblems(io, source, error, flags.json === true);
  }
}

/** Writes the file that `-o` names. Throws `CommandError` when that fails. */
export async function writeOutput(io: Io, file: string, bytes: Uint8Array): Promise<void> {
  const path = resolvePath(io.cwd, file);
  try {
    await io.files.write(path, bytes);
  } catch (error) {
    throw cannotWrite(path, error);
  }
}
