/**
 * A Brain as a process of its own: arguments, files, clock and signals end here. It needs NATS; in
 * one process with a Shield, `deno task dev` starts `server.ts` instead.
 */
import { openReserve, operatorLimits } from "../shared/client_listener.ts";
import { brainIdOf } from "../shared/cluster.ts";
import { ConfigError } from "../shared/config/load.ts";
import type { Config } from "../shared/config/schema.ts";
import { createLogging } from "../shared/logging.ts";
import { createMetrics, watchEventLoop } from "../shared/metrics.ts";
import {
  configArgument,
  EXIT_FAILED,
  EXIT_USAGE,
  exitWhileStarting,
  loadConfigFile,
  logUnhandled,
  stopSignal,
  stopWith,
  stopWithin,
  textOf,
  writeStderr,
} from "../shared/process.ts";
import { registerSpineMetrics, watchRoundTrip } from "../shared/spine/metrics.ts";
import { openSpine } from "../shared/spine/open.ts";
import { openMetricsExport } from "../shared/telemetry/metrics_start.ts";
import { telemetryResource } from "../shared/telemetry/resource.ts";
import { spanClock } from "../shared/telemetry/span_clock.ts";
import { startTracing } from "../shared/telemetry/tracing.ts";
import { VERSION as version } from "../shared/version.ts";
import { placesOf, requireFreePorts } from "../shared/port_check.ts";
import { startListeners } from "./listeners.ts";
import { startBrain } from "./server.ts";

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

async function run(config: Config): Promise<void> {
  const now = Date.now;
  const logging = createLogging({ ...config.log, now, write: writeStderr });
  const log = logging.of(PROGRAM);
  logUnhandled(log);
  const stopping = stopSignal(PROGRAM, log);
  const started = exitWhileStarting(stopping, log);
  const generated = `brain-${crypto.randomUUID().slice(0, 8)}`;
  const { node_id = generated } = config.server;
  // A Shield may run with the same file: two processes of the cluster need two ids.
  const brain_id = node_id === generated ? generated : brainIdOf(node_id);
  const registry = createMetrics({ node_id, version });
  logging.register(registry);
  using _loop = watchEventLoop(registry, now);
  const files = { read: (path: string) => Deno.readTextFileSync(path) };

  await requireFreePorts(placesOf(config).filter(({ name }) => name !== "client"));
  const spine = await openSpine(config, { log: log.child({ part: "spine" }), now, files });
  registerSpineMetrics(spine, registry);
  using _round_trip = watchRoundTrip(spine, registry, () => performance.now());
  const random = Math.random;
  const asked = Promise.withResolvers<unknown>();
  const told = { version, logging, onDrain: asked.resolve };
  const process = { service_name: "arqon-brain", node_id: brain_id, version };
  const resource = telemetryResource(process);
  const { telemetry } = config;
  const now_ms = spanClock(now, () => performance.now());
  const tracing = await startTracing({ telemetry, resource, registry, log, now_ms });
  const parts = { config, spine, log, registry, now, random, brain_id, tracing, ...told };
  const brain = await startBrain(parts);
  const exporting = await openMetricsExport({ registry, telemetry, resource, log, now });
  const limits = operatorLimits(config.limits);
  const door = { limits, reserve: openReserve(config.limits, log) };
  const { health } = brain;
  const listeners = await startListeners({ config, registry, health, now, log, ...door });
  const { ops_url, admin_url } = listeners;
  started();
  log.info("ready", { version, node_id, brain_id, ops_url, admin_url, tap: config.brain.tap });

  await Promise.race([stopping, asked.promise]);
  stopWithin(PROGRAM, config.server.drain_timeout_ms);
  // Listeners last: probes see "draining" until the end.
  await brain.drain();
  await Promise.all([spine.drain(), exporting?.shutdown(), tracing?.stop()]);
  await listeners.close();
  log.info("stopped");
}

if (import.meta.main) {
  const file = configArgument({ program: PROGRAM, help: HELP, version });
  const config = loadConfigFile(PROGRAM, file, { ops_port: 4101, admin_port: 4102 });
  if (config.nats === undefined) stopWith(PROGRAM, EXIT_USAGE, `${file}: ${NO_NATS}`);
  try {
    await run(config);
  } catch (error) {
    const code = error instanceof ConfigError ? EXIT_USAGE : EXIT_FAILED;
    stopWith(PROGRAM, code, textOf(error));
  }
  Deno.exit(0);
}
