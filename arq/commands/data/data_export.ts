/** `arq user export` and `arq tenant export`: all that the bus keeps of somebody, as lines. */
import { plural } from "../../../shared/plural.ts";
import { findAdmin, streamAdmin } from "../../bus/admin.ts";
import { CommandError, EXIT, printable } from "../../terminal/exit.ts";
import { type Io, print, resolvePath } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";

/** Who, and what of it. */
export interface Whose {
  readonly tenant: string;
  readonly user?: string | undefined;
  readonly room?: string | undefined;
  readonly offset?: number | undefined;
}

/** What other people may not read. */
const FILE_MODE = 0o600;

/** As the query of the admin API has it. */
export function queryOf(whose: Whose): string {
  const given = Object.entries(whose).filter(([, value]) => value !== undefined);
  return new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
}

/** `arq user export`. */
export function userExport(io: Io, user: string, flags: Flags<"out" | "tenant">): Promise<number> {
  return write(io, flags, { tenant: flags.tenant, user, room: flags.room });
}

/** `arq tenant export`. */
export function tenantExport(
  io: Io,
  tenant: string,
  flags: Flags<"out" | "tenant">,
): Promise<number> {
  return write(io, flags, { tenant });
}

async function write(io: Io, flags: Flags<"out" | "tenant">, whose: Whose): Promise<number> {
  const admin = await findAdmin(io, flags);
  const stream = await streamAdmin(io, admin, `/v1/data/export?${queryOf(whose)}`);
  const is_stdout = flags.out === "-";
  const writer = is_stdout ? undefined : await io.files.writer(
    resolvePath(io.cwd, flags.out),
    FILE_MODE,
  ).catch((error: unknown) => {
    const why = error instanceof Deno.errors.AlreadyExists ? "it is there already" : String(error);
    throw new CommandError(`cannot write ${printable(flags.out)}: ${why}`);
  });
  let tail = "";
  const decoder = new TextDecoder();
  try {
    for await (const bytes of stream) {
      tail = `${tail}${decoder.decode(bytes, { stream: true })}`.slice(-200);
      if (writer === undefined) await io.stdout.write(bytes);
      else await writer.write(bytes);
    }
    const end = /\{"end":true,"lines":(\d+)\}\n$/.exec(tail);
    if (end === null) throw new CommandError("the export ended before its end: ask again");
    await writer?.finish();
    const lines = Number(end[1]);
    const out = printable(flags.out);
    const text = flags.json === true
      ? JSON.stringify({ lines, out })
      : `${plural(lines, "line")} written to ${out}`;
    await print(flags.json === true && !is_stdout ? io.stdout : io.stderr, `${text}\n`);
    return EXIT.ok;
  } catch (error) {
    writer?.abandon();
    throw error;
  }
}
