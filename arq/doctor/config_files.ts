/**
 * The problems of the files and the folder that a configuration names, each with its key. They are opened as a server
 * opens them at its start. `arq doctor` checks ports, NATS and the rest of the machine.
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
import { requireHookSecrets } from "../../shared/process/hook_secrets.ts";
import { NatsLogin } from "../../shared/spine/nats/connection/nats_connect.ts";
import { otlpTarget, telemetryHeaders } from "../../shared/telemetry/resource.ts";
import {
  CertificateError,
  requireClientCertificates,
  requireUsableAs,
} from "../../shared/listeners/tls_reload.ts";
import { openKeySource, type PlacedIssuer } from "../../shield/auth/key_source.ts";
import { readApiKeys } from "../../shield/centrifugo/api_keys.ts";
import { openKeySet } from "../../shield/jwks/remote_keys.ts";
import { readProofKey } from "../../shield/proof/keys.ts";
import { readApps } from "../../shield/pusher/apps.ts";
import { quotaSecrets } from "../../shield/quota/secrets.ts";
import { dataFinding, type Finding, ok, warn, whyOf } from "./paths.ts";
import { type Io, resolvePath } from "../terminal/io.ts";

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
  const now = () => 0;
  const remote = { auth, now, monotonic_ms: now, fetch, log: SILENT, onFetch: () => {} };
  const options = {
    readTextFile: read,
    now,
    openRemote: (placed: PlacedIssuer, url: string) =>
      openKeySet(placed, url, { ...remote, waiting_max: limits.waiting_verifications }),
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
  requireClientCertificates,
  ({ telemetry }, read) => telemetryHeaders(telemetry, { read }),
  bridgedDatabase,
  ({ pusher }, read) => readApps(pusher, read),
  ({ centrifugo }, read) => readApiKeys(centrifugo, read),
  ({ proof }, read) => readProofKey(proof.key_file, read),
  ({ hooks }, read) => requireHookSecrets(hooks, read),
];

/** The problems of the embedded Spine's folder; none with NATS, which does not use it. */
async function dataProblems(io: Io, { server, nats }: Config): Promise<ConfigProblem[]> {
  if (nats !== undefined || server.data_dir === undefined) return [];
  const { status, text, fix } = await dataFinding(io, server.data_dir);
  if (status !== "fail") return [];
  return [{ position: undefined, key: "server.data_dir", text: `${text}; ${fix}` }];
}

/**
 * Reads all named files; paths begin where `arq` runs. The returned function throws for a file that could not be read.
 */
async function filesRead(io: Io, config: Config): Promise<ReadFile> {
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
  const reported = new Set(problems.map(({ key }) => key));
  for (const read of READERS) {
    try {
      read(config, text, io.now());
    } catch (error) {
      // A missing file has already been reported.
      const found = error instanceof ConfigError || error instanceof CertificateError
        ? problemsOf(error, "")
        : [];
      problems.push(...found.filter(({ key }) => !reported.has(key)));
    }
  }
  return [...problems, ...await dataProblems(io, config), ...await keyProblems(config, text)];
}

async function quotaFinding(io: Io, config: Config): Promise<Finding[]> {
  const { quota } = config;
  if (quota === undefined) return [];
  const check = "quota server";
  const { url, timeout_ms, retry_ms } = quota;
  const { host } = new URL(url);
  const read = await filesRead(io, config);
  const { connectValkey } = await import("../../shield/quota/valkey.ts");
  const ready = Promise.withResolvers<void>();
  try {
    const server = connectValkey({
      url,
      timeout_ms,
      retry_ms,
      random: () => 0,
      secrets: () => quotaSecrets(quota, read),
      onConnected: ready.resolve,
      onLost: (why) => ready.reject(new Error(why ?? "it closes the connection")),
    });
    try {
      await ready.promise;
      await server.ping();
    } finally {
      server.close();
    }
    return [ok(check, `${host} answers`)];
  } catch (error) {
    const fix = "start it, or check [quota] url and its login; until then each Shield counts alone";
    return [warn(check, `${host} does not answer: ${whyOf(error)}`, fix)];
  }
}

async function collectorFinding(io: Io, config: Config): Promise<Finding[]> {
  const { telemetry } = config;
  if (telemetry.otlp_url === undefined) return [];
  const check = "collector";
  const { host } = new URL(telemetry.otlp_url);
  const read = await filesRead(io, config);
  try {
    const target = otlpTarget(telemetry, "traces", { read });
    if (target === undefined) return [];
    // An empty export.
    const headers = { ...await target.headers(), "content-type": "application/x-protobuf" };
    const signal = AbortSignal.any([io.signal, AbortSignal.timeout(target.timeoutMillis)]);
    const response = await fetch(target.url, { method: "POST", headers, body: "", signal });
    await response.body?.cancel();
    if (response.ok) return [ok(check, `${host} answers`)];
    const fix = "check [telemetry] otlp_url and the headers";
    return [warn(check, `${host} answers ${response.status} to an empty export`, fix)];
  } catch (error) {
    io.signal.throwIfAborted();
    const fix =
      "start it, or check [telemetry] otlp_url; until then traces and metrics are dropped";
    return [warn(check, `${host} does not answer: ${whyOf(error)}`, fix)];
  }
}

/** A finding for each external address in the configuration. */
export async function outsideFindings(io: Io, config: Config): Promise<Finding[]> {
  return (await Promise.all([quotaFinding(io, config), collectorFinding(io, config)])).flat();
}
