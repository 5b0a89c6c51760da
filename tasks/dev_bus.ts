/**
 * The process behind `deno task dev`: Shield and Brain on one Spine with the development key.
 * Started and restarted by `dev.ts`; speaks to it in one JSON line on stdout when it is ready, and
 * ends when its stdin does, so that it never outlives it.
 */
import { startBrain } from "../brain/server.ts";
import type { Brain } from "../brain/server.ts";
import { ConfigError, parseConfig } from "../shared/config/load.ts";
import type { Config } from "../shared/config/schema.ts";
import { randomPool } from "../shared/ids.ts";
import { listen, listenClient } from "../shared/listen.ts";
import { createLogging } from "../shared/logging.ts";
import type { Logger } from "../shared/log.ts";
import { createMetrics, watchEventLoop } from "../shared/metrics.ts";
import { opsHandler } from "../shared/ops.ts";
import {
  EXIT_FAILED,
  EXIT_RESTART,
  EXIT_USAGE,
  loadConfigFile,
  logUnhandled,
  stopSignal,
  stopWith,
  textOf,
  tlsFiles,
  writeStderr,
} from "../shared/process.ts";
import { registerSpineMetrics, watchRoundTrip } from "../shared/spine/metrics.ts";
import { openSpine } from "../shared/spine/open.ts";
import type { Spine } from "../shared/spine/spine.ts";
import { openMetricsExport } from "../shared/telemetry/metrics_start.ts";
import type { MetricsExport } from "../shared/telemetry/metrics_start.ts";
import { telemetryResource } from "../shared/telemetry/resource.ts";
import { spanClock } from "../shared/telemetry/span_clock.ts";
import type { Tracing } from "../shared/telemetry/tracing.ts";
import manifest from "../shield/deno.json" with { type: "json" };
import { startShield } from "../shield/server.ts";
import type { Shield } from "../shield/server.ts";
import { startTraces } from "../shield/traces_start.ts";
import { DEV_AUDIENCE, DEV_ISSUER, DEV_TENANT, devKey, devToken } from "./dev_key.ts";

const { version } = manifest;

/** What `dev.ts` hands over as the only argument, in JSON. */
export interface DevBusOptions {
  /** Folder of the key and of the files by which `arq` finds this bus. */
  state_dir: string;
  port?: number;
  ops_port?: number;
  admin_port?: number;
  data_dir?: string;
  config_file?: string;
  nats_url?: string;
}

/** The line on stdout, and the content of the file that `arq` looks for. */
export interface DevBusReady {
  pid: number;
  url: string;
  ops_url: string;
  admin_url: string;
  token: string;
  tenant: string;
  issuer: string;
  audience: string;
  key_file: string;
  started_ms: number;
}

const DEV_DEFAULTS = `
[server]
host = "127.0.0.1"
allowed_origins = ["http://localhost*", "http://127.0.0.1*"]
drain_ms = 0
[ops]
host = "127.0.0.1"
[brain]
tap = 0.01
[[rooms]]
room = "durable-*"
durable = true
[[rooms]]
room = "orders*"
durable = true
`;

/** The file's settings (or the dev defaults) with the flags and the development issuer put in. */
function devConfig(options: DevBusOptions, jwks_file: string): Config {
  const { config_file, nats_url } = options;
  const config = config_file === undefined
    ? parseConfig(DEV_DEFAULTS, { file: "dev defaults" })
    : loadConfigFile("dev", config_file, { host: "127.0.0.1" });
  config.server.port = options.port ?? config.server.port;
  config.ops.port = options.ops_port ?? config.ops.port;
  config.admin.port = options.admin_port ?? config.admin.port;
  if (options.data_dir !== undefined) config.server.data_dir = options.data_dir;
  if (nats_url !== undefined) {
    const urls = parseConfig(`[nats]\nurls = [${JSON.stringify(nats_url)}]`, { file: "--nats" });
    config.nats = { ...urls.nats, ...config.nats, urls: [nats_url] } as Config["nats"];
  }
  config.auth.issuers.push({
    issuer: DEV_ISSUER,
    audience: DEV_AUDIENCE,
    jwks_file,
    algorithms: ["RS256"],
    tenants: ["*"],
    roles: ["user", "service", "admin"],
  });
  return config;
}

interface Servers {
  readonly shield: Shield;
  readonly brain: Brain;
  readonly spine: Spine;
  readonly ops: (request: Request) => Promise<Response>;
  readonly log: Logger;
  readonly exporting: MetricsExport | undefined;
  readonly tracing: Tracing | undefined;
  /** An operator has asked for a drain. */
  readonly asked: Promise<unknown>;
}

/** Shield and Brain on one Spine, with one page of metrics and one health. */
async function startServers(config: Config): Promise<Servers> {
  const now = Date.now;
  const logging = createLogging({ ...config.log, now, write: writeStderr });
  const logOf = logging.of;
  const log = logOf("shield");
  logUnhandled(log);
  const random = randomPool((bytes) => crypto.getRandomValues(bytes));
  const readTextFile = (path: string) => Deno.readTextFileSync(path);
  const { telemetry, server: { node_id = "dev" } } = config;
  const registry = createMetrics({ node_id, version });
  logging.register(registry);
  watchEventLoop(registry, now);
  const files = { read: readTextFile };
  const spine = await openSpine(config, { log: logOf("spine"), now, files });
  registerSpineMetrics(spine, registry);
  watchRoundTrip(spine, registry, () => performance.now());
  const asked = Promise.withResolvers<unknown>();
  const resource = telemetryResource({ service_name: "arqon-dev", node_id, version });
  const now_ms = spanClock(now, () => performance.now());
  const told = { telemetry, resource, registry, log };
  const { tracing, traces } = await startTraces({ ...told, random, now_ms });
  const common = {
    config,
    spine,
    registry,
    now,
    version,
    logging,
    tracing,
    onDrain: asked.resolve,
  };
  const brain = await startBrain({ ...common, log: logOf("brain"), random: Math.random });
  const shield = await startShield({
    ...common,
    traces,
    log,
    random,
    monotonic_ms: () => performance.now(),
    overseer_log: logOf("overseer"),
    registry_log: logOf("registry"),
    cores: navigator.hardwareConcurrency,
    onExhausted: (detail) => stopWith("dev", EXIT_RESTART, detail),
    onFatal: (detail) => stopWith("dev", EXIT_FAILED, detail),
    readTextFile,
    fetch,
  });
  const health = () => ({ checks: { ...shield.checks(), ...brain.health().checks } });
  const ops = opsHandler({ registry, health, now, log });
  const exporting = await openMetricsExport({ ...told, now });
  return { shield, brain, spine, ops, log, exporting, tracing, asked: asked.promise };
}

/** Serves until the supervisor or a signal asks for the end. */
async function run(options: DevBusOptions): Promise<void> {
  const key = await devKey(options.state_dir);
  const config = devConfig(options, key.jwks_file);
  const servers = await startServers(config);
  const { shield, brain, spine, ops: handler, log, exporting, tracing, asked } = servers;
  const tls = tlsFiles(config);
  const client = await listenClient({
    name: "client",
    ...config.server,
    handler: shield.client,
    tls,
  });
  const ops = listen({ name: "ops", ...config.ops, handler });
  const admin = listen({ name: "admin", ...config.admin, handler: shield.admin });
  const ready: DevBusReady = {
    pid: Deno.pid,
    url: `${client.url.replace(/^http/, "ws")}/v1/socket`,
    ops_url: ops.url,
    admin_url: admin.url,
    token: await devToken(key.jwk),
    tenant: DEV_TENANT,
    issuer: DEV_ISSUER,
    audience: DEV_AUDIENCE,
    key_file: key.key_file,
    started_ms: Date.now(),
  };
  const announcement = `${options.state_dir}/dev/${Deno.pid}.json`;
  await Deno.mkdir(`${options.state_dir}/dev`, { recursive: true });
  await Deno.writeTextFile(announcement, JSON.stringify(ready), { mode: 0o600 });
  Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(ready) + "\n"));
  // The supervisor holds our stdin: when it is gone, however it went, this process ends too.
  const orphaned = Deno.stdin.readable.pipeTo(new WritableStream()).catch(() => {});
  await Promise.race([stopSignal("dev", log), orphaned, asked]);
  await Deno.remove(announcement);
  await shield.drain();
  await brain.drain();
  await Promise.all([client.close(), ops.close(), admin.close()]);
  await Promise.all([spine.drain(), exporting?.shutdown(), tracing?.stop()]);
}

if (import.meta.main) {
  try {
    await run(JSON.parse(Deno.args[0] ?? "{}"));
  } catch (error) {
    stopWith("dev", error instanceof ConfigError ? EXIT_USAGE : EXIT_FAILED, textOf(error));
  }
  Deno.exit(0);
}
