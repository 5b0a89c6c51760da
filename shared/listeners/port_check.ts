/**
 * Looks before a start whether the ports of a configuration are free, and whether an ArqonBus holds
 * one that is not. Opens a port for a moment and lets it go. It cannot tell who else holds a port.
 */
import { textOf } from "./answer_body.ts";
import type { Config } from "../config/schema.ts";
import { ListenError } from "./listen.ts";

/** One listener of a configuration. */
export interface Place {
  /** The listener's name: "client", "ops" or "admin". */
  readonly name: string;
  readonly table: "server" | "ops" | "admin";
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

/** Time limit for asking the holder of a port before a start, in ms. */
const ASK_MS = 5_000;
/** Paths that an ArqonBus answers with JSON of its own, also without a token. */
const PATHS = { server: "/v1/auth/check", ops: "/health/live", admin: "/v1/status" } as const;

/** The listeners of a configuration. */
export function placesOf({ server, ops, admin }: Config): readonly Place[] {
  const tables = { server, ops, admin };
  const names = { server: "client", ops: "ops", admin: "admin" } as const;
  return (["server", "ops", "admin"] as const).map((table) => {
    const { host, port, tls_cert } = tables[table];
    return { name: names[table], table, host, port, tls: tls_cert !== undefined };
  });
}

const shownHost = (host: string) => host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;

/**
 * Whether an ArqonBus answers there; false when nothing of the kind has answered before the signal.
 */
export async function isArqon(
  { table, host, port, tls }: Place,
  signal: AbortSignal,
): Promise<boolean> {
  // A certificate need not be for this address; that it speaks TLS there is told by the TLS check.
  const base = `${tls ? "https" : "http"}://${shownHost(host)}:${port}`;
  try {
    const response = await fetch(`${base}${PATHS[table]}`, { redirect: "manual", signal });
    const body: unknown = JSON.parse(await textOf(response, signal));
    if (typeof body !== "object" || body === null) return false;
    if (table === "ops") return "uptime_ms" in body;
    // A Brain's admin listener has no path without somebody who checks tokens.
    return "reason" in body && [401, 404].includes(response.status);
  } catch {
    return false;
  }
}

function isTaken({ host, port }: Place): boolean {
  if (port === 0) return false;
  try {
    Deno.listen({ hostname: host, port }).close();
    return false;
  } catch (error) {
    // Whatever else is wrong is told by the listener itself.
    return error instanceof Deno.errors.AddrInUse;
  }
}

/** Throws a ListenError that names every port that is taken, its key and whether an ArqonBus has it. */
export async function requireFreePorts(places: readonly Place[]): Promise<void> {
  const taken = places.filter(isTaken);
  if (taken.length === 0) return;
  const signal = AbortSignal.timeout(ASK_MS);
  const texts = await Promise.all(taken.map(async (place) => {
    const { name, table, host, port } = place;
    const who = await isArqon(place, signal) ? " by an ArqonBus" : "";
    return `${name} listener: port ${port} on ${host} is in use${who} ([${table}] port)`;
  }));
  const others = taken.length === 1 ? "another port" : "other ports";
  throw new ListenError(
    `${texts.join("; ")}; stop the other process or choose ${others} (0 picks a free one)`,
  );
}
