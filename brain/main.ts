/**
 * A Brain as a separate process: handles arguments, files, clock and signals. It needs NATS; `deno task dev` starts
 * `server.ts` in one process with a Shield instead.
 */
import { operatorLimits } from "../shared/listeners/client_listener.ts";
import { brainIdOf } from "../shared/cluster/cluster.ts";
import { createLogging } from "../shared/logs/logging.ts";
import { registerClientCertificates } from "../shared/process/client_certificates.ts";
import { createMetrics, watchEventLoop } from "../shared/metrics/metrics.ts";
import {
  configArgument,
  endInLog,
  EXIT_USAGE,
  exitAfter,
  exitWhileStarting,
  loadConfigFile,
  logUnhandled,
  readConfigFile,
  stopSignal,
  stopWith,
  stopWithin,
  writeStderr,
} from "../shared/process/process.ts";
import { type GivenConfig, liveConfig, onHangup } from "../shared/process/live_process.ts";
import { readOperatorFiles } from "../shared/listeners/operator_listener.ts";
import { watchSpine, watchStorage } from "../shared/spine/metrics.ts";
import { Starting } from "../shared/listeners/starting.ts";
import { openMetricsExport, spanClock } from "../shared/telemetry/start.ts";
import { telemetryResource } from "../shared/telemetry/resource.ts";
import { VERSION as version } from "../shared/version.ts";
import { startWatchdog } from "../shared/watchdog/watchdog.ts";
import { placesOf, requireFreePorts } from "../shared/listeners/port_check.ts";
import { startListeners } from "./listeners.ts";

const HELP = `Usage: brain --config FILE

Keeps presence, serves the commands of rooms and taps messages on a NATS Spine. Any
number of Brains may run on one NATS; each room belongs to one of them at a time.

  --config FILE   the node's config.toml (docs/configuration.md); it needs a [nats] table
  --help          this text
  --version       the release

Exit codes: 0 stopped by SIGINT or SIGTERM, 1 could not start or not stop in time, 2 wrong arguments or configuration.`;

const NO_NATS = `[nats] is missing: a Brain of its own needs NATS, because the embedded Spine \
cannot be shared between processes. Add for example

[nats]
urls = ["nats://127.0.0.1:4222"]

or run \`deno task dev\`: Shield and Brain in one process, without NATS.`;

const PROGRAM = "brain";

/** Loads the Brain's modules, after the liveness probe is answered. */
async function load() {
  const [server, list, tracing, spine] = await Promise.all([
    import("./server.ts"),
    import("./capabilities.ts"),
    import("../shared/telemetry/start.ts"),
    import("../shared/cluster/starting_spine.ts"),
  ]);
  return { ...server, ...list, ...tracing, ...spine };
}

async function run(given: GivenConfig): Promise<void> {
  const now = Date.now;
  const generated = `brain-${crypto.randomUUID().slice(0, 8)}`;
  const { node_id = generated } = given.config.server;
  const logging = createLogging({ ...given.config.log, now, write: writeStderr, node_id });
  const log = logging.of(PROGRAM);
  const reloading = liveConfig(given, { node_id, logging, log, now });
  const { config } = reloading;
  onHangup((by) => reloading.reload(by));
  if (config.log.format === "json") endInLog(log);
  logUnhandled(log);
  const stopping = stopSignal(PROGRAM, log);
  const started = exitWhileStarting(stopping, log);
  // A Shield may use the same file: two processes of the cluster need different ids.
  const brain_id = node_id === generated ? generated : brainIdOf(node_id);
  const registry = createMetrics({ node_id, version });
  for (const one of [logging, reloading]) one.register(registry);
  registerClientCertificates(registry, config, Deno.readTextFileSync);
  using _loop = watchEventLoop(registry, () => performance.now());
  using watchdog = startWatchdog({ config, node_id, component: PROGRAM, log });
  const files = { read: (path: string) => Deno.readTextFileSync(path) };
  const token = readOperatorFiles(config, files.read, log, now());
  await requireFreePorts(placesOf(config).filter(({ name }) => name !== "client"));
  const starting = new Starting(now);
  starting.begin("loading the program");
  const limits = operatorLimits(config.limits);
  const { health } = starting;
  // Before anything is loaded or awaited, so that the liveness probe is answered.
  const asked_for = { config, registry, health, now, log, read: files.read, token };
  const listeners = await startListeners({ ...asked_for, limits });
  const { ops_url, admin_url } = listeners;
  log.info("starting", { version, node_id, ops_url });
  const { startBrain, startTracing, openStartingSpine, BRAIN_CAPABILITIES } = await load();
  const { read } = files;
  const opening = { starting, log: log.child({ part: "spine" }), now, read };
  const spine = await openStartingSpine(config, { ...opening, node_id: brain_id, kind: "brain" });
  const monotonic_ms = () => performance.now();
  using storage = watchSpine({ spine, registry, log, now, monotonic_ms });
  const random = Math.random;
  const drain = Promise.withResolvers<unknown>();
  const base = { version, logging, reloading, storage: storage.check, onDrain: drain.resolve };
  const process = { service_name: "arqon-brain", node_id, version };
  const resource = telemetryResource(process);
  const { telemetry } = config;
  const now_ms = spanClock(now, monotonic_ms);
  const exported = { telemetry, resource, registry, log, readTextFile: files.read };
  const tracing = await startTracing({ ...exported, now_ms });
  const parts = { config, spine, log, registry, now, random, brain_id, tracing, ...base };
  const { read: readTextFile } = files;
  starting.begin("reading who is present, and the rooms");
  const capabilities = BRAIN_CAPABILITIES;
  const files_read = { readTextFile, readFile: Deno.readFileSync };
  const brain = await startBrain({ ...parts, capabilities, ...files_read });
  using _storage = watchStorage({ config, spine, registry, log });
  const exporting = await openMetricsExport({ ...exported, now });
  await storage.asked;
  starting.end(brain.health);
  started();
  watchdog?.started();
  log.info("ready", { version, node_id, brain_id, ops_url, admin_url, tap: config.brain.tap });

  await Promise.race([stopping, drain.promise]);
  stopWithin(PROGRAM, config.server.drain_timeout_ms);
  // Listeners last: probes see "draining" until the end.
  await brain.drain();
  await Promise.all([spine.drain(), exporting?.shutdown(), tracing?.stop()]);
  await listeners.close();
  log.info("stopped");
}

if (import.meta.main) {
  const file = configArgument({ program: PROGRAM, help: HELP, version });
  const defaults = { ops_port: 4101, admin_port: 4102 };
  const config = loadConfigFile(PROGRAM, file, defaults);
  if (config.nats === undefined) stopWith(PROGRAM, EXIT_USAGE, `${file}: ${NO_NATS}`);
  await exitAfter(PROGRAM, () => run({ file, config, read: () => readConfigFile(file, defaults) }));
}
