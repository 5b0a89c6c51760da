/** Whether the ports of a configuration are free, and who has them when they are not. */
import { textOf } from "../../shared/answer_body.ts";
import type { Config } from "../../shared/config/schema.ts";
import { fail, ok, whyOf } from "./finding.ts";
import type { Finding } from "./finding.ts";
import { runShell } from "./shell.ts";

/** One listener of a configuration. */
export interface Place {
  /** "client", "ops" or "admin". */
  readonly name: string;
  readonly table: "server" | "ops" | "admin";
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

const PROBE_MS = 10_000;
/** Paths that an ArqonBus answers with JSON of its own, also without a token. */
const PATHS = { server: "/v1/auth/check", ops: "/health/live", admin: "/v1/status" } as const;

/** The listeners of a configuration. */
export function placesOf({ server, ops, admin }: Config): readonly Place[] {
  const tls = server.tls_cert !== undefined;
  return [
    { name: "client", table: "server", host: server.host, port: server.port, tls },
    { name: "ops", table: "ops", ...ops, tls: false },
    { name: "admin", table: "admin", ...admin, tls: false },
  ];
}

/** The program in what `lsof -Fpc` prints: "node (pid 12)". */
export function lsofOwner(text: string): string | undefined {
  const pid = /^p(\d+)$/m.exec(text)?.[1];
  const name = /^c(.+)$/m.exec(text)?.[1];
  return pid === undefined ? undefined : `${name ?? "a program"} (pid ${pid})`;
}

/** The program in what `ss -ltnpH` prints. */
export function ssOwner(text: string): string | undefined {
  const [, name, pid] = /users:\(\("([^"]*)",pid=(\d+)/.exec(text) ?? [];
  return pid === undefined ? undefined : `${name} (pid ${pid})`;
}

/** Who listens on a port, as far as the system says so. */
async function ownerOf(port: number, signal: AbortSignal): Promise<string | undefined> {
  // Linux has ss, macOS only lsof, which takes seconds on some machines.
  const ss = await runShell(`exec ss -ltnpH 'sport = :${port}'`, signal);
  const owner = ss === undefined ? undefined : ssOwner(ss);
  if (owner !== undefined) return owner;
  const lsof = await runShell(`exec lsof -nP -iTCP:${port} -sTCP:LISTEN -Fpc`, signal);
  return lsof === undefined ? undefined : lsofOwner(lsof);
}

const shownHost = (host: string) => host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;

/** Whether an ArqonBus answers there. */
async function isArqon({ table, host, port, tls }: Place, signal: AbortSignal): Promise<boolean> {
  // A certificate need not be for this address; that it speaks TLS there is told by the TLS check.
  const base = `${tls ? "https" : "http"}://${shownHost(host)}:${port}`;
  const late = AbortSignal.any([signal, AbortSignal.timeout(PROBE_MS)]);
  try {
    const response = await fetch(`${base}${PATHS[table]}`, { redirect: "manual", signal: late });
    const body: unknown = JSON.parse(await textOf(response, late));
    if (typeof body !== "object" || body === null) return false;
    return table === "ops" ? "uptime_ms" in body : "reason" in body && response.status === 401;
  } catch {
    return false;
  }
}

/** Opens the port for a moment. */
export async function portFinding(place: Place, signal: AbortSignal): Promise<Finding> {
  const { name, table, host, port } = place;
  const check = `${name} port`;
  const where = `${host}:${port}`;
  try {
    Deno.listen({ hostname: host, port }).close();
    return ok(check, `${where} is free`);
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) {
      if (await isArqon(place, signal)) return ok(check, `an ArqonBus serves on ${where}`);
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
