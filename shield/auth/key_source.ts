/**
 * Opens the keys of each configured issuer: a JWKS file, a JWKS URL or a PEM file. A wrong file or URL stops the start
 * with a message about what is expected; files are read again with the configuration.
 */
import { ConfigError, unreadable } from "../../shared/config/load.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import { type Algorithm, keyFromPem, keysFromJwks, type LoadedKeys } from "./keys.ts";

/** One entry of `[[auth.issuers]]`. */
export type Issuer = Config["auth"]["issuers"][number];
type KeyOrigin = "jwks_file" | "jwks_url" | "pem_file";

/** State of one issuer's keys, for health and `arq status`. */
export interface KeyStatus {
  readonly issuer: string;
  readonly source: KeyOrigin;
  /** The number of usable keys; 0 until the first fetch of a URL, and after its keys have expired or were removed. */
  readonly keys: number;
  /** False while the last fetch failed; always true for files. */
  readonly healthy: boolean;
  /** Unix ms of the last good load. 0: never. */
  readonly loaded_ms: number;
}

/** One issuer and its keys. Each has its own cache, so keys belong to an issuer, URL and `kid`. */
export interface KeySource {
  readonly issuer: Issuer;
  /**
   * The key, or undefined if the issuer has none with this `kid`. Rejects with `keys-unavailable` (503) if that is
   * unknown.
   */
  find(alg: Algorithm, kid: string | undefined): Promise<CryptoKey | undefined>;
  warm(): Promise<void>;
  /**
   * Reads a file again, and returns its configuration key if it has changed. Rejects as `openKeySource`; then the
   * former keys stay in force.
   */
  renew(): Promise<readonly string[]>;
  status(): KeyStatus;
  close(): void;
}

interface KeySourceOptions extends Pick<Env, "now"> {
  readonly readTextFile: (path: string) => string;
  /** Absent: an issuer with a URL is a start error. */
  readonly openRemote?: OpenRemoteKeys | undefined;
}

/** An issuer with its index in the config, which start errors name. */
export interface PlacedIssuer {
  readonly issuer: Issuer;
  readonly position: number;
}

/**
 * Prepares the keys of an issuer behind a URL, without fetching; the jwks capability does (`jwks/`). Throws a
 * ConfigError that names the key of the configuration.
 */
export type OpenRemoteKeys = (placed: PlacedIssuer, url: string) => KeySource;

/** A start error about a key of an issuer. */
export function startError(placed: PlacedIssuer, key: KeyOrigin, what: string): ConfigError {
  const value = (placed.issuer[key] ?? "").replace(/\/\/[^/]*@/, "//***@");
  const text = `${JSON.stringify(value)} ${what}`;
  return new ConfigError("", [
    { position: undefined, key: `auth.issuers[${placed.position}].${key}`, text },
  ]);
}

async function keysFromFile(
  placed: PlacedIssuer,
  key: "jwks_file" | "pem_file",
  path: string,
  readTextFile: (path: string) => string,
): Promise<LoadedKeys & { readonly text: string }> {
  const { algorithms } = placed.issuer;
  let text: string;
  try {
    text = readTextFile(path);
  } catch (cause) {
    throw unreadable(`auth.issuers[${placed.position}].${key}`, path, cause);
  }
  let loaded: LoadedKeys;
  try {
    const read = key === "jwks_file" ? keysFromJwks : keyFromPem;
    loaded = await read(text, algorithms);
  } catch (cause) {
    throw startError(placed, key, cause instanceof TypeError ? cause.message : String(cause));
  }
  // Operators can correct a file, so any fault in it stops the start instead of being skipped.
  if (loaded.problems.length > 0) throw startError(placed, key, loaded.problems.join("; "));
  if (loaded.index.size === 0) {
    const names = algorithms.join(", ");
    throw startError(placed, key, `has no key for ${names}; add one, or change algorithms`);
  }
  return { ...loaded, text };
}

async function fileSource(
  placed: PlacedIssuer,
  source: "jwks_file" | "pem_file",
  path: string,
  options: KeySourceOptions,
): Promise<KeySource> {
  const { issuer, position } = placed;
  const load = () => keysFromFile(placed, source, path, options.readTextFile);
  let { index, text } = await load();
  let loaded_ms = options.now();
  return {
    issuer,
    find: (alg, kid) => Promise.resolve(index.find(alg, kid)),
    warm: () => Promise.resolve(),
    async renew() {
      const next = await load();
      if (next.text === text) return [];
      ({ index, text } = next);
      loaded_ms = options.now();
      return [`auth.issuers[${position}].${source}`];
    },
    status: () => ({ issuer: issuer.issuer, source, keys: index.size, healthy: true, loaded_ms }),
    close: () => {},
  };
}

/**
 * Loads the issuer's file, or prepares its URL without fetching. `position` is its index in
 * `[[auth.issuers]]`. Rejects with a ConfigError that names the key and the file.
 */
export async function openKeySource(
  issuer: Issuer,
  position: number,
  options: KeySourceOptions,
): Promise<KeySource> {
  const placed = { issuer, position };
  if (issuer.jwks_url !== undefined) {
    if (options.openRemote !== undefined) return options.openRemote(placed, issuer.jwks_url);
    throw startError(placed, "jwks_url", "cannot be used: this Shield fetches no key sets");
  }
  if (issuer.pem_file !== undefined) {
    return await fileSource(placed, "pem_file", issuer.pem_file, options);
  }
  return await fileSource(placed, "jwks_file", issuer.jwks_file ?? "", options);
}
