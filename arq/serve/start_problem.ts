/** The error of a bus that could not start, as a sentence with advice. */
import { ArqonError } from "@arqon/sdk";
import { ConfigError } from "../../shared/config/load.ts";
import { CertificateError } from "../../shared/listeners/tls_reload.ts";
import { ListenError } from "../../shared/listeners/listen.ts";
import type { Place } from "../../shared/listeners/port_check.ts";
import { fileLimit, portFinding } from "../doctor/system.ts";
import { CommandError, failed, usageError } from "../terminal/exit.ts";

/** Fewest files with which a bus can start: its sources, listeners, databases and threads need as many. */
const FILES_LEAST = 256;

const TABLES: Readonly<Record<string, Place["table"]>> = {
  client: "server",
  ops: "ops",
  admin: "admin",
};

const TAKEN = /(client|ops|admin) listener: port (\d+) on (\S+) is in use/g;

/** The addresses that a ListenError reports as in use; empty for other messages. */
export function takenPlaces(message: string): Place[] {
  return [...message.matchAll(TAKEN)].flatMap(([, name = "", port = "", host = ""]) => {
    const table = TABLES[name];
    return table === undefined ? [] : [{ name, table, host, port: Number(port), tls: false }];
  });
}

/** The program that uses an address, in a few words. */
async function holder(place: Place, signal: AbortSignal): Promise<string> {
  const { status, text } = await portFinding(place, signal);
  // The address may be free again by now.
  const who = / is free$/.test(text) ? `${place.host}:${place.port} was in use` : text;
  const again = status === "ok" && who === text ? " already" : "";
  return `${place.name} port: ${who}${again}`;
}

/** Throws when this process may open too few files for any bus. */
export async function requireFiles(signal: AbortSignal): Promise<void> {
  const limit = await fileLimit(signal);
  if (limit === undefined || limit >= FILES_LEAST) return;
  throw failed(
    `a process may open only ${limit} files here; a bus needs at least ${FILES_LEAST}`,
    "raise it: ulimit -n 20000 (systemd: LimitNOFILE=20000; Docker: --ulimit nofile=20000)",
  );
}

/** The error of a failed start, as it is reported. `portFix` says how to choose other ports. */
export async function startProblem(
  error: unknown,
  portFix: (places: readonly Place[]) => string,
  signal: AbortSignal,
): Promise<unknown> {
  if (error instanceof ConfigError) return usageError(error.message.replaceAll("\n", "; "));
  if (error instanceof ListenError) {
    const places = takenPlaces(error.message);
    if (places.length === 0) return new CommandError(error.message);
    const holders = await Promise.all(places.map((place) => holder(place, signal)));
    return failed(holders.join("; "), portFix(places));
  }
  if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable) {
    return failed(error.message, "run it in a folder that you may write to");
  }
  // No bus was asked, so advice for clients of a bus does not fit.
  return error instanceof ArqonError || error instanceof CertificateError
    ? new CommandError(error.message)
    : error;
}
