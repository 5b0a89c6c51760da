/** `arq journal export`: writes what was decided into a file, for `arq policy replay` and others. */
import { plural } from "../../../shared/plural.ts";
import { findAdmin } from "../../bus/admin.ts";
import { journalBytes } from "../../journal/bus_journal.ts";
import { CommandError, EXIT, printable } from "../../terminal/exit.ts";
import { type Io, print, resolvePath } from "../../terminal/io.ts";
import { wishOf } from "./journal_list.ts";
import type { Flags } from "../../program/flags.ts";

/** What other people may not read. */
const FILE_MODE = 0o600;
const NEWLINE = 0x0a;

/** Where the lines go. */
interface Sink {
  write(bytes: Uint8Array): Promise<void>;
  finish(): Promise<void>;
  /** Ends it; what has nothing is removed, for it would be in the way of the next try. */
  abandon(is_empty: boolean): Promise<void>;
}

async function sinkOf(io: Io, out: string): Promise<Sink> {
  if (out === "-") {
    const write = (bytes: Uint8Array) => io.stdout.write(bytes);
    return { write, finish: () => Promise.resolve(), abandon: () => Promise.resolve() };
  }
  const path = resolvePath(io.cwd, out);
  const writer = await io.files.writer(path, FILE_MODE).catch((error: unknown) => {
    const why = error instanceof Deno.errors.AlreadyExists
      ? "it is there already"
      : error instanceof Error
      ? error.message
      : String(error);
    throw new CommandError(`cannot write ${printable(path)}: ${why}`);
  });
  return {
    write: (bytes) => writer.write(bytes),
    finish: () => writer.finish(),
    async abandon(is_empty) {
      writer.abandon();
      if (is_empty) await io.files.remove(path);
    },
  };
}

/** Writes the lines. Whatever ends it, the file has whole lines, and stderr says how many. */
export async function journalExport(
  io: Io,
  flags: Flags<"out" | "payloads" | "tenant">,
): Promise<number> {
  const admin = await findAdmin(io, flags);
  const wish = { ...await wishOf(io, admin, flags), has_payloads: flags.payloads };
  const sink = await sinkOf(io, flags.out);
  let lines = 0;
  let is_empty = true;
  const tell = (is_whole: boolean) => {
    if (flags.json === true) return print(io.stderr, `${JSON.stringify({ lines, is_whole })}\n`);
    const what = is_whole ? "written to" : "were written before it ended, to";
    return print(io.stderr, `${plural(lines, "line")} ${what} ${printable(flags.out)}\n`);
  };
  try {
    for await (const bytes of journalBytes(io, admin, wish)) {
      is_empty = false;
      await sink.write(bytes);
      for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) lines++;
    }
    await sink.finish();
  } catch (error) {
    await sink.abandon(is_empty);
    if (!is_empty) await tell(false);
    throw error;
  }
  await tell(true);
  return EXIT.ok;
}
