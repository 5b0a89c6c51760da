/**
 * Shield and Brain on one Spine, with one page of metrics and one health. Opens no listener, see
 * `serve.ts`; files, clocks and signals are the process's.
 */
import { startBrain } from "../../brain/server.ts";
import type { Brain } from "../../brain/server.ts";
import type { Config } from "../../shared/config/schema.ts";
import { connectionId } from "../../shared/ids.ts";
import type { Logger } from "../../shared/log.ts";
import { createLogging } from "../../shared/logging.ts";
import { createMetrics, watchEventLoop } from "../../shared/metrics.ts";
import type { Registry } from "../../shared/metrics.ts";
import { opsHandler } from "../../shared/ops.ts";
import { EXIT_RESTART, whileStarting } from "../../shared/process.ts";
import { registerSpineMetrics, watchRoundTrip } from "../../shared/spine/metrics.ts";
import { openSpine } from "../../shared/spine/open.ts";
import type { Spine } from "../../shared/spine/spine.ts";
import { openMetricsExport } from "../../shared/telemetry/metrics_start.ts";
import type { MetricsExport } from "../../shared/telemetry/metrics_start.ts";
import { telemetryResource } from "../../shared/telemetry/resource.ts";
import { spanClock } from "../../shared/telemetry/span_clock.ts";
import type { Tracing } from "../../shared/telemetry/tracing.ts";
import { VERSION as version } from "../../shared/version.ts";
import { startShield } from "../../shield/server.ts";
import type { Shield } from "../../shield/server.ts";
import { startTraces } from "../../shield/traces_start.ts";
import type { ServeProcess } from "./process.ts";

/** Running servers, and what can end them. */
export interface Servers {
  readonly node_id: string;
  readonly shield: Shield;
  readonly brain: Brain;
  readonly spine: Spine;
  readonly registry: Registry;
  /** Answers requests of the ops listener. */
  readonly ops: (request: Request) => Promise<Response>;
  readonly log: Logger;
  readonly exporting: MetricsExport | undefined;
  readonly tracing: Tracing | undefined;
  /** The process or an operator asks for a drain. */
  readonly stopping: Promise<unknown>;
  /** To be called once they serve. */
  readonly started: () => void;
  /** The process cannot go on; says why. */
  readonly fatal: PromiseWithResolvers<string>;
  /** Memory runs out; says why. */
  readonly exhausted: Promise<string>;
}

/**
 * Starts them; `service_name` is theirs in traces. Rejects with `spine-unavailable` when NATS cannot be
 * reached or `data_dir` is in use, and with what else a Shield or a Brain cannot start without.
 */
export async function startServers(
  given: Config,
  process: ServeProcess,
  service_name: string,
): Promise<Servers> {
  const { now, random, monotonic_ms, readTextFile, cores } = process;
  const node_id = given.server.node_id ?? connectionId(random).replace(/^c/, "shield-");
  const config = { ...given, server: { ...given.server, node_id } };
  const logging = createLogging({ ...config.log, now, write: process.writeLog });
  const logOf = logging.of;
  const log = logOf("shield");
  const [fatal, exhausted, asked] = [
    Promise.withResolvers<string>(),
    Promise.withResolvers<string>(),
    Promise.withResolvers<unknown>(),
  ];
  const stopping = Promise.race([process.begin(log), asked.promise]);
  const started = whileStarting(stopping, () => process.exit(0, "stopped before it was ready"));
  const registry = createMetrics({ node_id, version });
  logging.register(registry);
  watchEventLoop(registry, now);
  const spine = await openSpine(config, {
    log: logOf("spine"),
    now,
    files: { read: readTextFile },
  });
  registerSpineMetrics(spine, registry);
  watchRoundTrip(spine, registry, monotonic_ms);
  const told = {
    telemetry: config.telemetry,
    resource: telemetryResource({ service_name, node_id, version }),
    registry,
    log,
  };
  const now_ms = spanClock(now, monotonic_ms);
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
    monotonic_ms,
    overseer_log: logOf("overseer"),
    registry_log: logOf("registry"),
    cores,
    onFatal: fatal.resolve,
    onExhausted(detail, at_once) {
      if (at_once) process.exit(EXIT_RESTART, detail);
      exhausted.resolve(detail);
    },
    readTextFile,
    fetch,
  });
  const health = () => ({ checks: { ...shield.checks(), ...brain.health().checks } });
  const ops = opsHandler({ registry, health, now, log });
  const exporting = await openMetricsExport({ ...told, now });
  const ends = { stopping, started, fatal, exhausted: exhausted.promise };
  return { node_id, shield, brain, spine, registry, ops, log, exporting, tracing, ...ends };
}
