/**
 * The files that a configuration names, opened as a server opens them at its start: what is wrong with
 * each, by its key. Looks at files alone; ports, NATS and the rest of the machine are `arq doctor`'s.
 */
import { createLogger } from "../shared/log.ts";
import { ConfigError, unreadable } from "../shared/config/load.ts";
import type { ConfigProblem } from "../shared/config/problems.ts";
import type { Config } from "../shared/config/schema.ts";
import { requireUsable } from "../shared/tls_reload.ts";
import { openKeySource } from "../shield/key_source.ts";
import { resolvePath } from "./io.ts";
import type { Io } from "./io.ts";

/** A file and the key that names it. */
type Named = readonly [key: string, path: string | undefined];

/** Those of which only the text matters here. */
function plainFiles({ server, nats, quota }: Config): Named[] {
  return [
    ["server.tls_cert", server.tls_cert],
    ["server.tls_key", server.tls_key],
    ["nats.credentials_file", nats?.credentials_file],
    ["nats.tls_ca_file", nats?.tls_ca_file],
    ["quota.tls_ca_file", quota?.tls_ca_file],
  ];
}

function problemsOf(error: unknown, key: string): readonly ConfigProblem[] {
  if (error instanceof ConfigError) return error.problems;
  const text = error instanceof Error ? error.message : String(error);
  return [{ position: undefined, key, text }];
}

/** Keys are read with the same eyes as a Shield's. */
async function keyProblems(
  { auth, limits }: Config,
  read: (path: string) => string,
): Promise<ConfigProblem[]> {
  const silent = { level: "error", format: "json", component: "arq", now: () => 0 } as const;
  const options = {
    auth,
    readTextFile: read,
    now: () => 0,
    fetch,
    log: createLogger({ ...silent, write: () => {} }),
    waiting_max: limits.waiting_verifications,
    onFetch: () => {},
  };
  const problems: ConfigProblem[] = [];
  for (const [position, issuer] of auth.issuers.entries()) {
    // A URL is only looked at, not fetched.
    await openKeySource(issuer, position, options).then(
      (source) => source.close(),
      (error) => problems.push(...problemsOf(error, `auth.issuers[${position}]`)),
    );
  }
  return problems;
}

/** What is wrong with the files; relative paths begin in the folder in which `arq` runs. */
export async function namedFileProblems(io: Io, config: Config): Promise<ConfigProblem[]> {
  const texts = new Map<string, string | Error>();
  const { issuers } = config.auth;
  const keys = issuers.flatMap(({ jwks_file, pem_file }) => [jwks_file, pem_file]);
  for (const path of [...keys, ...plainFiles(config).map(([, path]) => path)]) {
    if (path === undefined || texts.has(path)) continue;
    const read = io.files.read(resolvePath(io.cwd, path));
    texts.set(
      path,
      await read.then(
        (bytes) => new TextDecoder().decode(bytes),
        (error) => error instanceof Error ? error : new Error(String(error)),
      ),
    );
  }
  const text = (path: string): string => {
    const found = texts.get(path);
    if (typeof found === "string") return found;
    throw found;
  };
  const problems: ConfigProblem[] = [];
  for (const [key, path] of plainFiles(config)) {
    const found = path === undefined ? "" : texts.get(path);
    if (found instanceof Error) problems.push(...unreadable(key, path ?? "", found).problems);
  }
  const { tls_cert, tls_key } = config.server;
  if (tls_cert !== undefined && tls_key !== undefined && problems.length === 0) {
    try {
      requireUsable({ cert: text(tls_cert), key: text(tls_key) });
    } catch (error) {
      problems.push(...problemsOf(error, "server.tls_cert"));
    }
  }
  return [...problems, ...await keyProblems(config, text)];
}
