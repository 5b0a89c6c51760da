/**
 * Checks before a start whether the configured ports are free, and whether an ArqonBus uses one that is not. Opens a
 * port for a moment and closes it. It cannot tell which other program uses a port.
 */
import type { Config } from "../config/schema.ts";
import { probeText } from "./door_probe.ts";
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

/** Timeout of the request to the user of a port, in ms. */
const ASK_MS = 5_000;
/** Paths that an ArqonBus refuses with JSON of its own: without a token, or because there is no such path. */
const PATHS = { server: "/v1/auth/check", ops: "/v1/status", admin: "/v1/status" } as const;

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

/** Whether an ArqonBus answers there within the timeout. */
export async function isArqon({ table, host, port, tls }: Place): Promise<boolean> {
  const probe_options = { host: shownHost(host), port, tls, path: PATHS[table] };
  try {
    const text = await probeText({ ...probe_options, proxied: false, timeout_ms: ASK_MS });
    return /^HTTP\/1\.1 (?:401|404) /.test(text) && /\r\n\r\n[^]*"reason":"/.test(text);
  } catch {
    return false;
  }
}

const isWildcard = (host: string) => host === "0.0.0.0" || host === "::";

/** The earlier listener in the list with the same port, so that both cannot be opened. */
export function sharedWith(place: Place, places: readonly Place[]): Place | undefined {
  if (place.port === 0) return undefined;
  return places.slice(0, places.indexOf(place)).find(({ host, port }) =>
    port === place.port && (host === place.host || isWildcard(host) || isWildcard(place.host))
  );
}

/** Its address, and the other listener of the port. */
export const sharedText = ({ host, port }: Place, other: Place): string =>
  `port ${port} on ${host} is that of the ${other.name} listener, too ([${other.table}] port)`;

function isTaken({ host, port }: Place): boolean {
  if (port === 0) return false;
  try {
    Deno.listen({ hostname: host, port }).close();
    return false;
  } catch (error) {
    // The listener itself reports other faults.
    return error instanceof Deno.errors.AddrInUse;
  }
}

/**
 * Throws a ListenError that names every port that two listeners share, or that is in use, with its key and whether an
 * ArqonBus uses it.
 */
export async function requireFreePorts(places: readonly Place[]): Promise<void> {
  for (const place of places) {
    const other = sharedWith(place, places);
    if (other === undefined) continue;
    const text = `${place.name} listener: ${sharedText(place, other)}`;
    throw new ListenError(`${text}; set [${place.table}] port to another one`);
  }
  const taken = places.filter(isTaken);
  if (taken.length === 0) return;
  const texts = await Promise.all(taken.map(async (place) => {
    const { name, table, host, port } = place;
    const who = await isArqon(place) ? " by an ArqonBus" : "";
    return `${name} listener: port ${port} on ${host} is in use${who} ([${table}] port)`;
  }));
  const others = taken.length === 1 ? "another port" : "other ports";
  throw new ListenError(
    `${texts.join("; ")}; stop the other process or choose ${others} (0 picks a free one)`,
  );
}
