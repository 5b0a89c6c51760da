/**
 * Finds a running development bus. Each development bus writes a file into `.arqon/dev/`, and the newest one
 * that answers is taken. Only reads; every file is checked, since anything may lie there.
 */
import type { Files, Io } from "../terminal/io.ts";

// `token` has role user in the tenant; the key in `key_file` signs the tokens of this bus.
const FIELDS = [
  ...["url", "ops_url", "admin_url", "token", "tenant", "issuer", "audience", "key_file"] as const,
];

/** What a development bus says about itself in its file. */
export type DevBus = Readonly<Record<typeof FIELDS[number], string>> & {
  readonly started_ms: number;
};

/** Issuer of development tokens, for when no bus runs; a running bus has it in its file. */
export const DEV_ISSUER = "arqon-dev";
/** The audience of development tokens. */
export const DEV_AUDIENCE = "arqon";
/** The tenant of development tokens. */
export const DEV_TENANT = "default";
/** Name of the file with the development key, in a state folder. */
export const DEV_KEY_FILE = "dev-key.json";

/** What the search for a bus needs. */
interface Reading {
  readonly files: Pick<Files, "read" | "list">;
}

/** Most files of buses that are tried; files of killed buses stay. */
const CANDIDATES_MAX = 32;
const PROBE_MS = 1_500;

/** The announcement in the text of a file; undefined when it has none. */
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
      // The bus has just ended and removed its file.
    }
  }
  return found.sort((one, other) => other.started_ms - one.started_ms).slice(0, CANDIDATES_MAX);
}

/** Whether a bus answers. */
export async function answers(
  bus: { readonly ops_url?: string | undefined },
  signal: AbortSignal,
): Promise<boolean> {
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

/** The newest development bus that answers and that `fits` accepts. Nearer state folders come first. */
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

/** The development key, whether or not a bus runs; undefined when no bus has made one here. */
export async function findDevKey(
  io: Reading & Pick<Io, "state_dirs">,
): Promise<{ path: string; text: string } | undefined> {
  for (const state_dir of io.state_dirs) {
    const path = `${state_dir}/${DEV_KEY_FILE}`;
    try {
      return { path, text: new TextDecoder().decode(await io.files.read(path)) };
    } catch {
      // This folder has none.
    }
  }
  return undefined;
}
