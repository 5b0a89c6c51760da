/** The user's input for a command: whole files that the command line names, and answers to questions at a terminal. */
import { dirname } from "node:path";
import { cannotRead, cannotWrite, failed, usageError } from "./exit.ts";
import { type Io, print, resolvePath } from "./io.ts";

/** What the name of an incomplete file ends in. */
export const PARTIAL = ".partial";

/** The bytes of a file. Throws `CommandError` when it cannot be read. */
export async function readInput(io: Io, file: string): Promise<Uint8Array> {
  const path = resolvePath(io.cwd, file);
  return await io.files.read(path).catch((error) => {
    throw cannotRead(path, error);
  });
}

/** The text of a file. Throws as `readInput` does. */
export async function readText(io: Io, file: string): Promise<string> {
  return new TextDecoder().decode(await readInput(io, file));
}

/** The bytes of a file as a stream, or of standard input for `-`. Throws as `readInput` does. */
export async function openInput(io: Io, file: string): Promise<ReadableStream<Uint8Array>> {
  if (file === "-") return io.stdin();
  const path = resolvePath(io.cwd, file);
  // Opening a folder succeeds, and only reading it fails.
  if ((await io.files.state(path))?.is_directory === true) throw cannotRead(path, "it is a folder");
  return await io.files.open(path).catch((error) => {
    throw cannotRead(path, error);
  });
}

type Data = string | Uint8Array;

/** Writes a file, or replaces an existing one. Throws `CommandError` when it cannot be written. */
export async function writeOutput(io: Io, file: string, data: Data, mode?: number): Promise<void> {
  const path = resolvePath(io.cwd, file);
  await io.files.write(path, data, mode).catch((error) => {
    throw cannotWrite(path, error);
  });
}

async function withFolder(io: Io, file: string, write: (path: string) => Promise<void>) {
  const path = resolvePath(io.cwd, file);
  try {
    await io.files.makeDirectory(dirname(path));
    await write(path);
  } catch (error) {
    throw cannotWrite(path, error);
  }
}

/** The same, after making the folder of the file. */
export const writeBelow = (io: Io, file: string, data: Data, mode?: number): Promise<void> =>
  withFolder(io, file, (path) => io.files.write(path, data, mode));

/** Writes a new file, after making its folder. Throws `CommandError` also when the file exists. */
export const createBelow = (io: Io, file: string, data: Data, mode: number): Promise<void> =>
  withFolder(io, file, (path) => io.files.create(path, data, mode));

/**
 * A new file, which other users may not read unless `mode` lets them. It has its name only once it is whole, on the
 * disk: it is written beside it, and `abandon` removes it unless its content is of use. Throws `CommandError` when it
 * cannot be created.
 */
export async function newOutput(io: Io, file: string, mode = 0o600) {
  const path = resolvePath(io.cwd, file);
  if (await io.files.state(path) !== undefined) {
    throw cannotWrite(path, new Deno.errors.AlreadyExists());
  }
  const partial = `${path}${PARTIAL}`;
  const writer = await io.files.writer(partial, mode).catch(async (error) => {
    if (await io.files.state(partial) === undefined) throw cannotWrite(path, error);
    const hint = "another arq is writing it; if one was killed, remove it";
    throw failed(`${partial} exists already`, hint);
  });
  let is_open = true;
  return {
    write: (bytes: Uint8Array) =>
      writer.write(bytes).catch((error) => {
        throw cannotWrite(path, error);
      }),
    async finish() {
      await writer.finish();
      await io.files.rename(partial, path);
      is_open = false;
    },
    /** Harmless after `finish`. */
    async abandon(is_kept: boolean) {
      if (!is_open) return;
      is_open = false;
      writer.abandon();
      if (is_kept) await io.files.rename(partial, path);
      else await io.files.remove(partial);
    },
  };
}

/** The same, or standard output for `-`. */
export async function openOutput(io: Io, file: string): ReturnType<typeof newOutput> {
  if (file !== "-") return await newOutput(io, file);
  const nothing = () => Promise.resolve();
  return { write: (bytes) => io.stdout.write(bytes), finish: nothing, abandon: nothing };
}

/** Whether a person can answer. */
export function canAsk(): boolean {
  return Deno.stdin.isTerminal();
}

/** The line that a person types, in lower case; "" at the end of input. */
export async function typedLine(io: Io): Promise<string> {
  let line = "";
  for await (const text of io.stdin().pipeThrough(new TextDecoderStream())) {
    line += text;
    if (line.includes("\n")) break;
  }
  return line.trim().toLowerCase();
}

/** Asks a question. True for yes; false for any other answer and at the end of input. */
export async function confirmed(io: Io, question: string): Promise<boolean> {
  await print(io.stderr, `${question} [y/N] `);
  return /^y(es)?$/.test(await typedLine(io));
}

/** Asks a question that the command line can answer with `--yes`. Throws when nobody can answer. */
export async function sure(io: Io, question: string): Promise<boolean> {
  if (!canAsk()) throw usageError(`${question} No terminal to ask`, "confirm with --yes");
  return await confirmed(io, question);
}
