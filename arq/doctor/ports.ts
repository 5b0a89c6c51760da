/** Findings about the ports of a configuration: whether they are free, and which program has them. */
import { isArqon, sharedText, sharedWith } from "../../shared/listeners/port_check.ts";
import type { Place } from "../../shared/listeners/port_check.ts";
import { fail, ok, whyOf } from "./finding.ts";
import type { Finding } from "./finding.ts";
import { runShell } from "./shell.ts";

/** The program in the output of `lsof -Fpc`: "node (pid 12)". */
export function lsofOwner(text: string): string | undefined {
  const pid = /^p(\d+)$/m.exec(text)?.[1];
  const name = /^c(.+)$/m.exec(text)?.[1];
  return pid === undefined ? undefined : `${name ?? "a program"} (pid ${pid})`;
}

/** The program in the output of `ss -ltnpH`. */
export function ssOwner(text: string): string | undefined {
  const [, name, pid] = /users:\(\("([^"]*)",pid=(\d+)/.exec(text) ?? [];
  return pid === undefined ? undefined : `${name} (pid ${pid})`;
}

/** The program that listens on a port; undefined when the system does not say. */
async function ownerOf(port: number, signal: AbortSignal): Promise<string | undefined> {
  // Linux has ss. macOS has only lsof, which takes seconds on some machines.
  const ss = await runShell(`exec ss -ltnpH 'sport = :${port}'`, signal);
  const owner = ss === undefined ? undefined : ssOwner(ss);
  if (owner !== undefined) return owner;
  const lsof = await runShell(`exec lsof -nP -iTCP:${port} -sTCP:LISTEN -Fpc`, signal);
  return lsof === undefined ? undefined : lsofOwner(lsof);
}

/**
 * The finding about a port, which is opened for a moment; `places` are all that the configuration asks for.
 */
export async function portFinding(
  place: Place,
  signal: AbortSignal,
  places: readonly Place[] = [place],
): Promise<Finding> {
  const { name, table, host, port } = place;
  const check = `${name} port`;
  const other = sharedWith(place, places);
  if (other !== undefined) {
    return fail(check, sharedText(place, other), `set [${table}] port to another one`);
  }
  const where = `${host}:${port}`;
  try {
    Deno.listen({ hostname: host, port }).close();
    return ok(check, `${where} is free`);
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) {
      if (await isArqon(place)) return ok(check, `an ArqonBus serves on ${where}`);
      const owner = await ownerOf(port, signal) ?? "another program";
      return fail(check, `${where} is in use by ${owner}`, `stop it, or set [${table}] port`);
    }
    if (error instanceof Deno.errors.PermissionDenied) {
      const fix = `take one from 1024 on: [${table}] port`;
      return fail(check, `${where} may not be opened by this user`, fix);
    }
    const fix = `set [${table}] host to an address of this machine, 127.0.0.1 or 0.0.0.0`;
    return fail(check, `${where} cannot be opened: ${whyOf(error)}`, fix);
  }
}
