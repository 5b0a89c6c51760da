/**
 * Finds a running development bus: `deno task dev` writes a file per process into `.arqon/dev/`, and
 * the newest one that answers wins. Only reads; what it finds is checked, since anything may lie there.
 */
import type { Files, Io } from "../terminal/io.ts";

/** What a development bus says about itself. */
export interface DevBus {
  readonly url: string;
  readonly ops_url: string;
  readonly admin_url: string;
  /** Role user, tenant default. */
  readonly token: string;
  readonly tenant: string;
  readonly issuer: string;
  readonly audience: string;
  /** The private JWK that its tokens are signed with. */
  readonly key_file: string;
  readonly started_ms: number;
}

/** What `deno task dev` vouches with; as in its files, for when it is not running. */
export const DEV_ISSUER = "arqon-dev";
/** The audience of development tokens. */
export const DEV_AUDIENCE = "arqon";
/** The tenant of development tokens. */
export const DEV_TENANT = "default";
/** The development key in a state folder. */
export const DEV_KEY_FILE = "dev-key.json";

/** What looking for a bus reads. */
interface Reading {
  readonly files: Pick<Files, "read" | "list">;
}

const FIELDS = ["url", "ops_url", "admin_url", "token", "tenant", "issuer", "audience", "key_file"];
/** Files of buses that were killed stay; no more than this many are asked. */
const CANDIDATES_MAX = 32;
const PROBE_MS = 1_500;

/** The announcement in a file's text; undefined when it is none. */
export function parseDevBus(text: string): DevBus | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return undefined;
    const fields = value as Record<string, unknown>;
    if (!FIELDS.every((field) => typeof fields[field] === "string")) return undefined;
    return typeof fields["started_ms"] === "number" ? value as DevBus : undefined;
  } catch {
    return undefined;
  }
}

async function announced(io: Reading, state_dir: string): Promise<DevBus[]> {
  const names = (await io.files.list(`${state_dir}/dev`)).filter((name) => name.endsWith(".json"));
  const found: DevBus[] = [];
  for (const name of names) {
    try {
      const bytes = await io.files.read(`${state_dir}/dev/${name}`);
      const bus = parseDevBus(new TextDecoder().decode(bytes));
      if (bus !== undefined) found.push(bus);
    } catch {
      // The bus ended just now and took its file along.
    }
  }
  return found.sort((one, other) => other.started_ms - one.started_ms).slice(0, CANDIDATES_MAX);
}

async function answers(bus: DevBus, signal: AbortSignal): Promise<boolean> {
  try {
    const response = await fetch(`${bus.ops_url}/health/live`, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(PROBE_MS)]),
    });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

/** The newest development bus that answers and that `fits`; nearer state folders come first. */
export async function findDevBus(
  io: Reading & Pick<Io, "state_dirs" | "signal">,
  fits: (bus: DevBus) => boolean = () => true,
): Promise<DevBus | undefined> {
  for (const state_dir of io.state_dirs) {
    for (const bus of await announced(io, state_dir)) {
      if (fits(bus) && await answers(bus, io.signal)) return bus;
    }
  }
  return undefined;
}

/** The development key, whether or not a bus runs; undefined when none was ever made here. */
export async function findDevKey(
  io: Reading & Pick<Io, "state_dirs">,
): Promise<{ path: string; text: string } | undefined> {
  for (const state_dir of io.state_dirs) {
    const path = `${state_dir}/${DEV_KEY_FILE}`;
    try {
      return { path, text: new TextDecoder().decode(await io.files.read(path)) };
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}
