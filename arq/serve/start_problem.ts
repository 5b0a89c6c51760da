/** Why a bus could not start, in a sentence with its fix. */
import { ArqonError } from "@arqon/sdk";
import { ConfigError } from "../../shared/config/load.ts";
import { ListenError } from "../../shared/listen.ts";
import { portFinding } from "../doctor/ports.ts";
import type { Place } from "../doctor/ports.ts";
import { fileLimit } from "../doctor/system.ts";
import { CommandError, EXIT, usageError } from "../exit.ts";

/** Below this no bus can start: its own sources, listeners, databases and threads need as many. */
const FILES_LEAST = 256;

const TABLES: Readonly<Record<string, Place["table"]>> = {
  client: "server",
  ops: "ops",
  admin: "admin",
};

/** The place that a ListenError found taken; undefined when that is not what it says. */
export function takenPlace(message: string): Place | undefined {
  const [, name = "", port = "", host = ""] =
    /^(client|ops|admin) listener: port (\d+) on (\S+) is in use/.exec(message) ?? [];
  const table = TABLES[name];
  return table && { name, table, host, port: Number(port), tls: false };
}

/** Throws when this process may not open enough files for any bus. */
export async function requireFiles(signal: AbortSignal): Promise<void> {
  const limit = await fileLimit(signal);
  if (limit === undefined || limit >= FILES_LEAST) return;
  throw new CommandError(
    `a process may open only ${limit} files here; a bus needs at least ${FILES_LEAST}`,
    EXIT.failure,
    "raise it: ulimit -n 20000 (systemd: LimitNOFILE=20000; Docker: --ulimit nofile=20000)",
  );
}

/** The error of a start as it is told. `portFix` says how to choose another port. */
export async function startProblem(
  error: unknown,
  portFix: (place: Place) => string,
  signal: AbortSignal,
): Promise<unknown> {
  if (error instanceof ConfigError) return usageError(error.message.replaceAll("\n", "; "));
  if (error instanceof ListenError) {
    const place = takenPlace(error.message);
    if (place === undefined) return new CommandError(error.message);
    const { status, text } = await portFinding(place, signal);
    // By now it may be free again.
    const who = / is free$/.test(text) ? `${place.host}:${place.port} was in use` : text;
    const again = status === "ok" && who === text ? " already" : "";
    return new CommandError(`${place.name} port: ${who}${again}`, EXIT.failure, portFix(place));
  }
  if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable) {
    return new CommandError(
      error.message,
      EXIT.failure,
      "run it in a folder that you may write to",
    );
  }
  // No bus was asked, so that what an ArqonError says to callers of one does not fit.
  return error instanceof ArqonError ? new CommandError(error.message) : error;
}
