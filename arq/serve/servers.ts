/**
 * Runs Shield and Brain on one Spine, with one log and one page of metrics. `serve.ts` opens the listeners;
 * files, clocks and signals belong to the process.
 */
import type { Config } from "../../shared/config/schema.ts";
import { connectionId, type Random } from "../../shared/ids.ts";
import type { Logger } from "../../shared/logs/log.ts";
import type { TlsPair } from "../../shared/http1/door.ts";
import type { Watchdog, WatchdogOptions } from "../../shared/watchdog/watchdog.ts";
import { BRAIN_CAPABILITIES } from "../../brain/capabilities.ts";
import type { BrainCapability } from "../../brain/capability.ts";
import { startBrain } from "../../brain/server.ts";
import { createLogging } from "../../shared/logs/logging.ts";
import { registerClientCertificates } from "../../shared/process/client_certificates.ts";
import { createMetrics, watchEventLoop } from "../../shared/metrics/metrics.ts";
import { readOperatorFiles } from "../../shared/listeners/operator_listener.ts";
import { EXIT_RESTART, whileStarting } from "../../shared/process/process.ts";
import { type GivenConfig, liveConfig } from "../../shared/process/live_process.ts";
import { watchSpine, watchStorage } from "../../shared/spine/metrics.ts";
import { openStartingSpine } from "../../shared/cluster/starting_spine.ts";
import type { Starting } from "../../shared/listeners/starting.ts";
import { openMetricsExport, spanClock, startTracing } from "../../shared/telemetry/start.ts";
import { telemetryResource } from "../../shared/telemetry/resource.ts";
import { VERSION as version } from "../../shared/version.ts";
import { SHIELD_CAPABILITIES } from "../../shield/capabilities.ts";
import type { Capability } from "../../shield/capability.ts";
import { startShield } from "../../shield/server.ts";

/** The files, clocks and random numbers of one process, and how it ends. */
export interface ServeProcess {
  /** The time in Unix ms. */
  readonly now: () => number;
  /** Monotonic ms with fractions. */
  readonly monotonic_ms: () => number;
  readonly random: Random;
  readonly readTextFile: (path: string) => string;
  readonly readFile: (path: string) => Uint8Array;
  /** The certificate and key currently in the configured files; undefined without TLS. May throw. */
  readonly tls: (config: Config) => TlsPair | undefined;
  /** Writes one log line, which has its newline; must not throw. */
  readonly writeLog: (line: string) => unknown;
  readonly cores: number;
  /** Called once, before anything is opened; resolves when the servers have to drain. */
  readonly begin: (log: Logger) => Promise<unknown>;
  /** Calls `reload` when the process is told to read its configuration again; absent: never. */
  readonly onHangup?: (reload: (by: string) => unknown) => void;
  /** Kills the process when its event loop hangs; absent: no watchdog. */
  readonly watch?: ((watched: WatchdogOptions) => Watchdog | undefined) | undefined;
  readonly exit: (exit_code: number, sentence: string) => Promise<never>;
  /** Ends the process as failed when it still runs after `timeout_ms`. */
  readonly stopWithin: (timeout_ms: number) => void;
  /** The capabilities of both servers; absent: all. */
  readonly capabilities?: {
    readonly shield: readonly Capability[];
    readonly brain: readonly BrainCapability[];
  } | undefined;
}

/** The parts that exist before anything is opened or waited for, and the promises that end the process. */
type SharedParts = ReturnType<typeof openSharedParts>;

/** The running servers, and the promises that end them. */
export type Servers = Awaited<ReturnType<typeof startServers>>;

/** Creates logs, metrics and the stop conditions of the process, which can be told to stop from now on. */
export function openSharedParts(given: GivenConfig, process: ServeProcess) {
  const { now, monotonic_ms, random, readTextFile } = process;
  const { server, log: lines } = given.config;
  const node_id = server.node_id ?? connectionId(random).replace(/^c/, "shield-");
  const logging = createLogging({ ...lines, now, write: process.writeLog, node_id });
  const log = logging.of("shield");
  const reloading = liveConfig(given, { node_id, logging, log, now });
  const { config } = reloading;
  process.onHangup?.((by) => reloading.reload(by));
  const fatal = Promise.withResolvers<string>();
  const asked = Promise.withResolvers<unknown>();
  const stopping = Promise.race([process.begin(log), asked.promise]);
  const started = whileStarting(
    stopping,
    () => void process.exit(0, "stopped before it was ready"),
  );
  const registry = createMetrics({ node_id, version });
  const token = readOperatorFiles(config, readTextFile, log, now());
  registerClientCertificates(registry, config, readTextFile);
  logging.register(registry);
  reloading.register(registry);
  watchEventLoop(registry, monotonic_ms);
  return {
    config,
    reloading,
    node_id,
    logging,
    log,
    registry,
    /** Token of the ops port; undefined: the port requires none. */
    token,
    /** Resolved when an operator asks for a drain; `stopping` resolves then, or when the process is told to. */
    asked,
    stopping,
    /** Call it once the servers run. */
    started,
    /** Resolved with the reason when the process cannot continue. */
    fatal,
  };
}

/**
 * Starts Shield and Brain. `service_name` is their name in traces; `starting` receives their progress. Rejects with
 * `spine-unavailable` when NATS cannot be reached or `data_dir` is in use, and with any other error that prevents a
 * Shield or Brain from starting.
 */
export async function startServers(
  shared: SharedParts,
  process: ServeProcess,
  service_name: string,
  starting: Starting,
) {
  const { config, node_id, logging, log, registry, asked, fatal } = shared;
  const { now, random, monotonic_ms, readTextFile, cores } = process;
  const logOf = logging.of;
  const exhausted = Promise.withResolvers<string>();
  const opening = { starting, log: logOf("spine"), now, read: readTextFile };
  const spine = await openStartingSpine(config, { ...opening, node_id, kind: "shield" });
  const storage = watchSpine({ spine, registry, log, now, monotonic_ms });
  const resource = telemetryResource({ service_name, node_id, version });
  const telemetry = { telemetry: config.telemetry, resource, registry, log, readTextFile };
  const tracing = await startTracing({ ...telemetry, now_ms: spanClock(now, monotonic_ms) });
  const common = {
    config,
    spine,
    registry,
    now,
    version,
    logging,
    tracing,
    storage: storage.check,
    onDrain: asked.resolve,
  };
  starting.begin("reading rooms, settings, schemas, policies, bans and keys");
  const brain = await startBrain({
    ...common,
    capabilities: process.capabilities?.brain ?? BRAIN_CAPABILITIES,
    readTextFile,
    readFile: process.readFile,
    log: logOf("brain"),
    changes: shared.reloading,
    random: Math.random,
  });
  const shield = await startShield({
    capabilities: process.capabilities?.shield ?? SHIELD_CAPABILITIES,
    ...common,
    // The Brain in this process has nothing to report besides the Shield.
    reloading: shared.reloading,
    log,
    random,
    monotonic_ms,
    overseer_log: logOf("overseer"),
    registry_log: logOf("registry"),
    cores,
    onFatal: fatal.resolve,
    onExhausted(detail, at_once) {
      if (at_once) void process.exit(EXIT_RESTART, detail);
      exhausted.resolve(detail);
    },
    readTextFile,
    fetch,
  });
  watchStorage({ spine, config, registry, log });
  const exporting = await openMetricsExport({ ...telemetry, now });
  await storage.asked;
  return {
    ...shared,
    shield,
    brain,
    spine,
    exporting,
    tracing,
    /** Resolves with the reason when memory runs out. */
    exhausted: exhausted.promise,
  };
}
