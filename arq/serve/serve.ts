/**
 * Runs Shield and Brain in one process from a checked configuration: listeners, the certificate, the drain.
 * `arq serve` and the development bus share this; each has its own command line and output.
 */
import type { Env } from "../../shared/env.ts";
import type { Logger } from "../../shared/logs/log.ts";
import { bridgedDatabase } from "../../shared/process/bridged_database.ts";
import { BACKENDS } from "../../shield/backend/capability.ts";
import type { Shield } from "../../shield/server.ts";
import type { BridgeOptions } from "../bridge/bridge.ts";
import { pause } from "../../shared/within.ts";
import { CommandError } from "../terminal/exit.ts";
import { type ClientListener, openClientListener } from "../../shared/listeners/client_listener.ts";
import type { Listener } from "../../shared/listeners/listen.ts";
import { openOperatorListener } from "../../shared/listeners/operator_listener.ts";
import { openOps, type OpsPort } from "../../shared/listeners/ops_port.ts";
import { placesOf, requireFreePorts } from "../../shared/listeners/port_check.ts";
import { EXIT_FAILED, EXIT_RESTART } from "../../shared/process/process.ts";
import type { GivenConfig } from "../../shared/process/live_process.ts";
import { followCertificate, requireUsableAs } from "../../shared/listeners/tls_reload.ts";
import type { TlsPair } from "../../shared/http1/door.ts";
import { VERSION as version } from "../../shared/version.ts";
import { openSharedParts, type ServeProcess, type Servers, startServers } from "./servers.ts";

/** The issuer of the bridge's sender: no token has it. */
const ISSUER = "arqon:bridge";
/** Time before a retry when a person has to solve the problem, in ms. */
const BLOCKED_MS = 10_000;

interface BridgingOptions
  extends Pick<Env, "config" | "registry" | "log" | "now" | "monotonic_ms"> {
  readonly shield: Pick<Shield, "of">;
  readonly read: (path: string) => string;
}

/** The bridge in this process, or none. */
interface Bridging {
  /** Stops publishing; resolves when messages in flight have ended. Never rejects. */
  close(): Promise<void>;
}

/** Starts following the database, if one is configured. */
async function startBridging(options: BridgingOptions): Promise<Bridging> {
  const { config, shield, registry, log, now, monotonic_ms, read } = options;
  const { postgres } = config.bridge;
  if (postgres === undefined) return { close: () => Promise.resolve() };
  const { tenant, user, slot, mode, poll_ms, waiting_messages } = postgres;
  // The client of PostgreSQL is loaded only for a bridge.
  const { runBridge } = await import("../bridge/bridge.ts");
  const { bridgeMetrics } = await import("../bridge/metrics.ts");
  const stopping = new AbortController();
  const { signal } = stopping;
  const bridge: BridgeOptions = {
    slot,
    waiting_messages,
    signal,
    now,
    monotonic_ms,
    accept_loss: false,
    accept_hint: `delete from arqon.bridge where slot = '${slot}' continues`,
    database: () => bridgedDatabase(config, read) ?? "",
    bus: shield.of(BACKENDS)!({ tenant_id: tenant, user_id: user, issuer: ISSUER }),
    reading: mode === "polling" ? { mode, poll_ms } : { mode },
    watch: bridgeMetrics(registry, now),
    say: (text) => log.info(text, { slot }),
  };
  const run = async () => {
    while (!signal.aborted) {
      try {
        await runBridge(bridge);
      } catch (error) {
        const hint = error instanceof CommandError ? error.hint : undefined;
        log.error("the bridge has failed; it retries", { slot, error, hint });
        await pause(BLOCKED_MS, signal);
      }
    }
  };
  const ended = run();
  return {
    close() {
      stopping.abort();
      return ended;
    },
  };
}

/** The addresses of a running bus. */
export interface Serving {
  readonly node_id: string;
  /** Address of the sockets, `ws(s)://host:port/v1/socket`. */
  readonly url: string;
  readonly ops_url: string;
  readonly admin_url: string;
}

/** The configuration and process of a bus, and a callback for its readiness. */
interface ServeOptions {
  readonly given: GivenConfig;
  readonly process: ServeProcess;
  /** Name of the service in traces and exported metrics. */
  readonly service_name: string;
  /** Called when everything is open. An error that it throws ends the start. */
  onReady(serving: Serving, log: Logger): Promise<void> | void;
}

interface Listeners {
  readonly client: ClientListener;
  readonly ops: Listener;
  readonly admin: Listener;
}

async function openListeners(
  { process }: ServeOptions,
  { config, shield, registry, fatal, log }: Servers,
  tls: TlsPair | undefined,
  { door, ops }: OpsPort,
): Promise<Listeners> {
  const { now, monotonic_ms } = process;
  const { reserve } = door;
  const client = await openClientListener({
    reserve,
    config,
    registry,
    tls,
    now,
    monotonic_ms,
    log,
    handler: shield.client,
    turnAway: shield.turnAway,
    nonce: crypto.randomUUID(),
    onGone: fatal.resolve,
  });
  shield.watch(client.check);
  const admin = await openOperatorListener({ name: "admin", ...door, handler: shield.admin });
  return { client, ops, admin };
}

/** Ends the process because memory ran out; its supervisor restarts it. Clients are not waited for. */
async function endExhausted(
  { shield, spine }: Servers,
  { exit }: ServeProcess,
  detail: string,
): Promise<never> {
  await shield.drain(true);
  await spine.drain();
  return exit(EXIT_RESTART, detail);
}

async function drain(
  servers: Servers,
  { client, ops, admin }: Listeners,
  bridging: Bridging,
): Promise<void> {
  const { shield, brain, spine, exporting, tracing } = servers;
  await bridging.close();
  await shield.drain();
  await client.close();
  // The Brain drains after the Shield, which sends it commands until it has left its rooms.
  await brain.drain();
  await Promise.all([spine.drain(), exporting?.shutdown(), tracing?.stop()]);
  // The operators' listeners close last, so that probes see "draining" until the end.
  await Promise.all([ops.close(), admin.close()]);
  servers.log.info("stopped");
}

/**
 * Runs the bus until the process is asked to stop, and resolves when everything has drained and is closed.
 * Ends the process itself with 1 when it cannot continue or a drain hangs, and with 75 when memory runs out.
 * Rejects when the start fails: `spine-unavailable`, ListenError, ConfigError.
 */
export async function serve(options: ServeOptions): Promise<void> {
  const { given, process } = options;
  // The certificate and the bridge's database are read before anything is opened, so that a bus without them does not
  // join a cluster.
  const served = process.tls(given.config);
  requireUsableAs("server", served, process.now());
  bridgedDatabase(given.config, process.readTextFile);
  await requireFreePorts(placesOf(given.config));
  const shared = openSharedParts(given, process);
  const { config, node_id, registry, log, fatal } = shared;
  using watchdog = process.watch?.({ config, node_id, component: "shield", log });
  const { now, readTextFile: read } = process;
  const ops_port = await openOps({ ...shared, now, read, onGone: fatal.resolve });
  const { starting } = ops_port;
  log.info("starting", { version, node_id, ops_url: ops_port.ops.url });
  const servers = await startServers(shared, process, options.service_name, starting);
  const { shield, brain } = servers;
  const listeners = await openListeners(options, servers, served, ops_port);
  const { client, ops, admin } = listeners;
  starting.end(() => ({ checks: { ...shield.checks(), ...brain.health().checks } }));
  const following = {
    read: () => process.tls(config),
    client,
    registry,
    log,
    now,
    onLost: fatal.resolve,
  };
  using _following = served && followCertificate(served, following);
  const url = `${client.url.replace(/^http/, "ws")}/v1/socket`;
  const bridging = await startBridging({
    ...servers,
    log: log.child({ part: "bridge" }),
    now,
    monotonic_ms: process.monotonic_ms,
    read,
  });
  servers.started();
  watchdog?.started();
  await options.onReady({ node_id, url, ops_url: ops.url, admin_url: admin.url }, log);
  servers.exhausted.then((detail) => endExhausted(servers, process, detail));
  const failure = await Promise.race([servers.stopping.then(() => undefined), fatal.promise]);
  if (failure !== undefined) log.error("draining after a fatal error", { failure });
  process.stopWithin(config.server.drain_timeout_ms);
  await drain(servers, listeners, bridging);
  if (failure !== undefined) await process.exit(EXIT_FAILED, failure);
}
