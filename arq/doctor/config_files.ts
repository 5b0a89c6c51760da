/**
 * The problems of the files and the folder that a configuration names, each with its key. They are opened as
 * a server opens them at its start. `arq doctor` looks at ports, NATS and the rest of the machine.
 */
import { createLogger } from "../../shared/logs/log.ts";
import { ConfigError, unreadable } from "../../shared/config/load.ts";
import type { ConfigProblem } from "../../shared/config/problems.ts";
import { namedFiles } from "../../shared/config/named_files.ts";
import type { Config } from "../../shared/config/schema.ts";
import { operatorTls } from "../../shared/listeners/operator_listener.ts";
import { openOpsToken } from "../../shared/listeners/ops_token.ts";
import { bridgedDatabase } from "../../shared/process/bridged_database.ts";
import type { ReadFile } from "../../shared/process/secret_file.ts";
import { NatsLogin } from "../../shared/spine/nats/connection/nats_login.ts";
import { telemetryHeaders } from "../../shared/telemetry/resource.ts";
import { CertificateError, requireUsableAs } from "../../shared/listeners/tls_reload.ts";
import { openKeySource } from "../../shield/auth/key_source.ts";
import { quotaSecrets } from "../../shield/quota/secrets.ts";
import { dataFinding } from "./paths.ts";
import { resolvePath } from "../terminal/io.ts";
import type { Io } from "../terminal/io.ts";

function problemsOf(error: unknown, key: string): readonly ConfigProblem[] {
  if (error instanceof ConfigError) return error.problems;
  if (error instanceof CertificateError) key = error.key;
  const text = error instanceof Error ? error.message : String(error);
  return [{ position: undefined, key, text }];
}

const SILENT = createLogger({
  level: "error",
  format: "json",
  component: "arq",
  now: () => 0,
  write: () => {},
});

/** The problems of the issuers' keys, which are read as a Shield reads them. */
async function keyProblems(
  { auth, limits }: Config,
  read: (path: string) => string,
): Promise<ConfigProblem[]> {
  const options = {
    auth,
    readTextFile: read,
    now: () => 0,
    fetch,
    log: SILENT,
    waiting_max: limits.waiting_verifications,
    onFetch: () => {},
  };
  const problems: ConfigProblem[] = [];
  for (const [position, issuer] of auth.issuers.entries()) {
    // For a URL only its form is checked; nothing is fetched.
    await openKeySource(issuer, position, options).then(
      (source) => source.close(),
      (error) => problems.push(...problemsOf(error, `auth.issuers[${position}]`)),
    );
  }
  return problems;
}

/** Functions that read the files of a table as its servers do. Each rejects or throws as a start would. */
const READERS: readonly ((config: Config, read: ReadFile, now_ms: number) => unknown)[] = [
  ({ server: { tls_cert, tls_key } }, read, now_ms) => {
    if (tls_cert === undefined || tls_key === undefined) return;
    requireUsableAs("server", { cert: read(tls_cert), key: read(tls_key) }, now_ms);
  },
  (config, read, now_ms) => requireUsableAs("ops", operatorTls("ops", config, read), now_ms),
  (config, read, now_ms) => requireUsableAs("admin", operatorTls("admin", config, read), now_ms),
  ({ ops }, read) => openOpsToken(ops, read, SILENT),
  ({ nats }, read) => nats && new NatsLogin(nats, read),
  ({ quota }, read) => quota && quotaSecrets(quota, read),
  ({ telemetry }, read) => telemetryHeaders(telemetry, { read }),
  bridgedDatabase,
];

/** The problems of the embedded Spine's folder; none with NATS, where nobody opens it. */
async function dataProblems(io: Io, { server, nats }: Config): Promise<ConfigProblem[]> {
  if (nats !== undefined || server.data_dir === undefined) return [];
  const { status, text, fix } = await dataFinding(io, server.data_dir);
  if (status !== "fail") return [];
  return [{ position: undefined, key: "server.data_dir", text: `${text}; ${fix}` }];
}

/**
 * Reads all named files, whose paths begin in the folder in which `arq` runs. What it gives throws for one that
 * could not be read.
 */
export async function filesRead(io: Io, config: Config): Promise<ReadFile> {
  const texts = new Map<string, string | Error>();
  for (const { path } of namedFiles(config)) {
    if (texts.has(path)) continue;
    const read = io.files.read(resolvePath(io.cwd, path));
    texts.set(
      path,
      await read.then(
        (bytes) => new TextDecoder().decode(bytes),
        (error) => error instanceof Error ? error : new Error(String(error)),
      ),
    );
  }
  return (path) => {
    const found = texts.get(path);
    if (typeof found === "string") return found;
    throw found;
  };
}

/** The problems of all named files. Relative paths begin as in `filesRead`. */
export async function namedFileProblems(io: Io, config: Config): Promise<ConfigProblem[]> {
  const text = await filesRead(io, config);
  const problems: ConfigProblem[] = [];
  for (const { key, path } of namedFiles(config)) {
    if (key.startsWith("auth.")) continue;
    try {
      text(path);
    } catch (cause) {
      problems.push(...unreadable(key, path, cause).problems);
    }
  }
  const told = new Set(problems.map(({ key }) => key));
  for (const read of READERS) {
    try {
      read(config, text, io.now());
    } catch (error) {
      // A missing file has been reported already.
      const found = error instanceof ConfigError || error instanceof CertificateError
        ? problemsOf(error, "")
        : [];
      problems.push(...found.filter(({ key }) => !told.has(key)));
    }
  }
  return [...problems, ...await dataProblems(io, config), ...await keyProblems(config, text)];
}
