/** The Shield process: arguments, config file, clock, signals and listeners. It passes them to all other parts. */
import type { Config } from "../shared/config/schema.ts";
import { connectionId, type Random, randomPool } from "../shared/ids.ts";
import { openClientListener, operatorLimits } from "../shared/listeners/client_listener.ts";
import { listenClient } from "../shared/listeners/listen.ts";
import type { Env } from "../shared/env.ts";
import { createLogging } from "../shared/logs/logging.ts";
import { registerClientCertificates } from "../shared/process/client_certificates.ts";
import { createMetrics, watchEventLoop } from "../shared/metrics/metrics.ts";
import { openOperatorListener, readOperatorFiles } from "../shared/listeners/operator_listener.ts";
import { openOps, type OpsPort } from "../shared/listeners/ops_port.ts";
import { withOpsToken } from "../shared/listeners/ops_token.ts";
import { placesOf, requireFreePorts } from "../shared/listeners/port_check.ts";
import {
  childStopSignal,
  endInLog,
  endWith,
  EXIT_FAILED,
  EXIT_RESTART,
  EXIT_USAGE,
  exitAfter,
  exitWhileStarting,
  loadConfigFile,
  logUnhandled,
  programArguments,
  readConfigFile,
  stopSignal,
  stopWith,
  stopWithin,
  textOf,
  tlsFiles,
  writeStderr,
} from "../shared/process/process.ts";
import { startChild } from "../shared/process/deno_command.ts";
import { type GivenConfig, liveConfig, onHangup } from "../shared/process/live_process.ts";
import { watchSpine, watchStorage } from "../shared/spine/metrics.ts";
import { openMetricsExport, spanClock } from "../shared/telemetry/start.ts";
import type { MetricsExport } from "../shared/telemetry/metrics_export.ts";
import { telemetryResource } from "../shared/telemetry/resource.ts";
import type { Tracing } from "../shared/telemetry/tracing.ts";
import { followCertificate, requireUsableAs } from "../shared/listeners/tls_reload.ts";
import type { TlsPair } from "../shared/http1/door.ts";
import { VERSION as version } from "../shared/version.ts";
import { startWatchdog, type Watchdog } from "../shared/watchdog/watchdog.ts";
import { isTrial, runTrial } from "../wasm/instance/compile_child.ts";
import type { Shield } from "./server.ts";
import { childConfig, type ChildOptions, readChildOptions } from "./supervisor/child_options.ts";
import { shieldCommand } from "./supervisor/command.ts";
import { supervisorAdmin, supervisorOps } from "./supervisor/operators.ts";
import { readProcesses, supervise } from "./supervisor/supervisor.ts";

const PROGRAM = "shield";
const HELP = `Usage: shield --config FILE [--processes N]

The ArqonBus edge gateway: WebSocket and HTTP on [server] port (4000), metrics and
health on [ops] (4001), the admin API on [admin] (4002).

  --config FILE   the node's config.toml (docs/configuration.md lists every key)
  --processes N   N Shields on the one client port, started again when they die; needs [nats]
  --help          this text
  --version       the version

Exit codes: 0 stopped by SIGINT or SIGTERM, 1 could not start or not stop in time, 2 wrong arguments or configuration,
75 out of memory: to be started again.`;

const NO_NATS = `--processes needs [nats]: the embedded Spine is in one process and reaches no \
other. docs/scale.md shows both.`;

const NO_ISSUER = `[[auth.issuers]] is missing: without an issuer every token is refused. \
docs/security.md shows one; \`arq auth keys\` makes a key.`;

/** A generated id for a node without a configured one. */
function shieldId(random: Random): string {
  return connectionId(random).replace(/^c/, "shield-");
}

/** The name, log and configuration of one Shield, and its stop signal. */
function begin(whole: GivenConfig, child: ChildOptions | undefined) {
  const given = whole.config;
  const random = randomPool((bytes) => crypto.getRandomValues(bytes));
  const node_id = given.server.node_id ?? shieldId(random);
  const lines = { ...given.log, now: Date.now, write: writeStderr, node_id };
  const logging = createLogging(lines);
  const logOf = (component: string) => {
    const log = logging.of(component);
    return child === undefined ? log : log.child({ node_id });
  };
  const log = logOf(PROGRAM);
  if (given.log.format === "json") endInLog(log);
  logUnhandled(log);
  if (given.bridge.postgres !== undefined) {
    const hint = "run arq bridge postgres beside the Shields, or arq serve";
    log.warn("[bridge.postgres] is for arq serve; this process follows no database", { hint });
  }
  const stopping = child === undefined ? stopSignal(PROGRAM, log) : childStopSignal(log);
  const reloading = liveConfig(whole, { node_id, logging, log, now: Date.now });
  const { config } = reloading;
  onHangup((by) => reloading.reload(by));
  const registry = createMetrics({ node_id, version });
  for (const one of [logging, reloading]) one.register(registry);
  return { config, node_id, random, logging, logOf, log, stopping, reloading, registry };
}

/** Loads the modules of a Shield, which a supervisor does not need. */
async function load() {
  const [server, list, tracing, spine] = await Promise.all([
    import("./server.ts"),
    import("./capabilities.ts"),
    import("../shared/telemetry/start.ts"),
    import("../shared/cluster/starting_spine.ts"),
  ]);
  return { ...server, ...list, ...tracing, ...spine };
}

/** Runs one Shield: alone, or as one of several that a supervisor has started. */
async function run(given: GivenConfig, child: ChildOptions | undefined): Promise<void> {
  const now = Date.now;
  const { config, node_id, random, logging, logOf, log, ...begun } = begin(given, child);
  const { stopping, reloading, registry } = begun;
  const started = exitWhileStarting(stopping, log);
  const fatal = Promise.withResolvers<string>();
  const exhausted = Promise.withResolvers<string>();
  const drain = Promise.withResolvers<unknown>();
  const readTextFile = (path: string) => Deno.readTextFileSync(path);
  registerClientCertificates(registry, config, readTextFile);
  using _loop = watchEventLoop(registry, () => performance.now());
  using watchdog = startWatchdog({ config, node_id, component: PROGRAM, log });
  const tls = tlsFiles(config);
  requireUsableAs("server", tls, now());
  const token = readOperatorFiles(config, readTextFile, log, now());
  // Shields of a supervisor share the client port.
  const own = placesOf(config).filter(({ name }) => child === undefined || name !== "client");
  await requireFreePorts(own);
  // The door opens before anything is loaded, so that liveness probes are answered.
  const door = { config, read: readTextFile, token, registry, log, now, onGone: fatal.resolve };
  const ops_port = await openOps(door);
  const { starting } = ops_port;
  log.info("starting", { version, node_id, ops_url: ops_port.ops.url });
  const { startShield, startTracing, openStartingSpine, SHIELD_CAPABILITIES } = await load();
  const opening = { starting, log: log.child({ part: "spine" }), now, read: readTextFile };
  const spine = await openStartingSpine(config, { ...opening, node_id, kind: "shield" });
  const monotonic_ms = () => performance.now();
  using storage = watchSpine({ spine, registry, log, now, monotonic_ms });
  const resource = telemetryResource({ service_name: "arqon-shield", node_id, version });
  const { telemetry } = config;
  const now_ms = spanClock(now, monotonic_ms);
  const base = { telemetry, resource, registry, log, readTextFile };
  const tracing = await startTracing({ ...base, now_ms });
  starting.begin("reading settings, schemas, policies, bans and keys");
  const shield = await startShield({
    capabilities: SHIELD_CAPABILITIES,
    config,
    tracing,
    spine,
    log,
    registry,
    version,
    now,
    random,
    monotonic_ms,
    overseer_log: logOf("overseer"),
    registry_log: logOf("registry"),
    cores: Math.max(1, Math.floor(navigator.hardwareConcurrency / (child?.processes ?? 1))),
    logging,
    reloading,
    storage: storage.check,
    onFatal: fatal.resolve,
    onDrain: drain.resolve,
    onExhausted(detail, at_once) {
      if (at_once) void endWith(PROGRAM, EXIT_RESTART, detail);
      exhausted.resolve(detail);
    },
    readTextFile,
    fetch,
  });
  using _storage = watchStorage({ spine, config, registry, log });
  const ended = { stopping: Promise.race([stopping, drain.promise]), started, fatal, exhausted };
  const exporting = await openMetricsExport({ ...base, now });
  await storage.asked;
  const running = { ...base, config, child, shield, spine, exporting, tracing, tls, watchdog };
  await serve({ ...running, ...ops_port, ...ended });
}

/** A running Shield, and what can end it. */
interface Running extends OpsPort, Pick<Env, "config" | "spine" | "registry" | "log"> {
  readonly child: ChildOptions | undefined;
  readonly shield: Shield;
  readonly tls: TlsPair | undefined;
  readonly watchdog: Watchdog | undefined;
  readonly exporting: MetricsExport | undefined;
  readonly tracing: Tracing | undefined;
  readonly stopping: Promise<unknown>;
  /** Call it once the Shield serves. */
  readonly started: () => void;
  readonly fatal: PromiseWithResolvers<string>;
  readonly exhausted: PromiseWithResolvers<string>;
}

/** Opens the listeners; resolves once the Shield has drained and everything is closed. */
async function serve(running: Running): Promise<void> {
  const { config, child, shield, spine, registry, log, tls, stopping, fatal, exhausted } = running;
  const { door, ops, starting } = running;
  const client = await openClientListener({
    config,
    handler: shield.client,
    turnAway: shield.turnAway,
    registry,
    tls,
    reuse_port: child !== undefined,
    log,
    reserve: door.reserve,
    now: Date.now,
    monotonic_ms: () => performance.now(),
    nonce: crypto.randomUUID(),
    onGone: fatal.resolve,
  });
  shield.watch(client.check);
  const admin = await openOperatorListener({ name: "admin", ...door, handler: shield.admin });
  starting.end(() => ({ checks: shield.checks() }));
  const serving = {
    read: () => tlsFiles(config),
    client,
    registry,
    log,
    now: Date.now,
    onLost: fatal.resolve,
  };
  using _following = tls && followCertificate(tls, serving);
  running.started();
  running.watchdog?.started();
  log.info("ready", {
    version,
    node_id: shield.node_id,
    url: client.url,
    ops_url: ops.url,
    admin_url: admin.url,
    spine: spine.status.engine,
  });
  if (child !== undefined) {
    console.log(JSON.stringify({ ops_port: ops.port, admin_port: admin.port }));
  }
  exhausted.promise.then(async (detail) => {
    // It does not wait for listeners: the connections that hold the memory are on one of them.
    await shield.drain(true);
    await spine.drain();
    await endWith(PROGRAM, EXIT_RESTART, detail);
  });
  const failure = await Promise.race([stopping.then(() => undefined), fatal.promise]);
  if (failure !== undefined) log.error("draining after a fatal error", { failure });
  stopWithin(PROGRAM, config.server.drain_timeout_ms);
  await shield.drain();
  await client.close();
  await Promise.all([spine.drain(), running.exporting?.shutdown(), running.tracing?.stop()]);
  // Listeners for operators close last, so that probes see "draining" until the end.
  await Promise.all([ops.close(), admin.close()]);
  log.info("stopped");
  if (failure !== undefined) await endWith(PROGRAM, EXIT_FAILED, failure);
}

/** The result of `read` for an argument; an invalid argument ends the process. */
function argument<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    stopWith(PROGRAM, EXIT_USAGE, textOf(error));
  }
}

async function runSeveral(given: GivenConfig, processes: number): Promise<void> {
  const config_file = given.file ?? "";
  if (processes > 1 && given.config.nats === undefined) {
    stopWith(PROGRAM, EXIT_USAGE, `${config_file}: ${NO_NATS}`);
  }
  const now = Date.now;
  const read = (path: string) => Deno.readTextFileSync(path);
  const random = randomPool((bytes) => crypto.getRandomValues(bytes));
  const node_id = given.config.server.node_id ?? shieldId(random);
  const logging = createLogging({ ...given.config.log, now, write: writeStderr, node_id });
  const log = logging.of("supervisor");
  const reloading = liveConfig(given, { node_id, logging, log, now });
  const { config } = reloading;
  if (config.log.format === "json") endInLog(log);
  logUnhandled(log);
  const registry = createMetrics({ node_id, version });
  await requireFreePorts(placesOf(config));
  // The port is first opened exclusively: among sockets that share a port, another program's would go unnoticed.
  const tls = tlsFiles(config);
  requireUsableAs("server", tls, now());
  const claimed = { ...config.server, tls, handler: () => new Response() };
  const claim = await listenClient({ ...claimed, name: "client", websocket: "own" });
  await claim.close(0);
  const { program, args } = shieldCommand({ config, config_file, program: import.meta.url });
  const supervisor = supervise({
    processes,
    node_id,
    port: claim.port,
    drain_timeout_ms: config.server.drain_timeout_ms,
    now: () => performance.now(),
    log,
    registry,
    spawn: (child) =>
      startChild(program, {
        args: [...args, "--config", config_file, "--child", JSON.stringify(child)],
        stdin: "piped",
        stdout: "piped",
        stderr: "inherit",
      }),
  });
  onHangup((by) => (void reloading.reload(by), supervisor.reload()));
  const stopping = stopSignal(PROGRAM, log, supervisor.kill);
  const token = readOperatorFiles(config, read, log, now());
  const operators = { slots: supervisor.slots, registry, now, log, fetch, token };
  const door = { config, read, registry, limits: operatorLimits(config.limits), log, now };
  const ops_handler = withOpsToken(supervisorOps(operators), token);
  const ops = await openOperatorListener({ name: "ops", ...door, handler: ops_handler });
  const handler = supervisorAdmin(operators, config.admin);
  const admin = await openOperatorListener({ name: "admin", ...door, handler });
  const urls = { url: claim.url, ops_url: ops.url, admin_url: admin.url };
  const service_name = "arqon-shield-supervisor";
  const resource = telemetryResource({ service_name, node_id, version });
  const { telemetry } = config;
  const metrics = { registry, telemetry, resource, log, now, readTextFile: read };
  const exporting = await openMetricsExport(metrics);
  supervisor.start();
  supervisor.ready.then(() => log.info("ready", { version, node_id, processes, ...urls }));
  const is_hopeless = await Promise.race([
    stopping.then(() => false),
    supervisor.hopeless.then(() => true),
  ]);
  const clean = await supervisor.stop();
  await Promise.all([ops.close(), admin.close(), exporting?.shutdown()]);
  if (is_hopeless) await endWith(PROGRAM, EXIT_USAGE, "stopped: see the previous line");
  if (!clean) await endWith(PROGRAM, EXIT_FAILED, "some processes did not drain");
  log.info("stopped");
}

if (import.meta.main) {
  if (isTrial(Deno.args)) await runTrial(Deno.args);
  const flags = ["processes", "child"] as const;
  const given = programArguments({ program: PROGRAM, help: HELP, version }, flags);
  const file = given.config;
  const whole = loadConfigFile(PROGRAM, file, {}, true);
  if (whole.auth.issuers.length === 0) stopWith(PROGRAM, EXIT_USAGE, `${file}: ${NO_ISSUER}`);
  const { processes = "", child: place = "" } = given;
  const child = place === "" ? undefined : argument(() => readChildOptions(place));
  const count = processes === "" ? undefined : argument(() => readProcesses(processes));
  const own = (one: Config) => child === undefined ? one : childConfig(one, child);
  const read = async () => own(await readConfigFile(file));
  await exitAfter(
    PROGRAM,
    () =>
      count === undefined
        ? run({ file, config: own(whole), read }, child)
        : runSeveral({ file, config: whole, read }, count),
  );
}
