/**
 * The Shield process: arguments, config file, clock, signals and listeners. Everything else gets
 * handed in from here.
 */
import { ConfigError } from "../shared/config/load.ts";
import type { Config } from "../shared/config/schema.ts";
import { randomPool } from "../shared/ids.ts";
import { listen } from "../shared/listen.ts";
import { createLogger } from "../shared/log.ts";
import { createMetrics, watchEventLoop } from "../shared/metrics.ts";
import { opsHandler } from "../shared/ops.ts";
import {
  configArgument,
  EXIT_FAILED,
  EXIT_USAGE,
  loadConfigFile,
  logUnhandled,
  stopSignal,
  stopWith,
  textOf,
  tlsFiles,
  writeStderr,
} from "../shared/process.ts";
import { registerSpineMetrics } from "../shared/spine/metrics.ts";
import { openSpine } from "../shared/spine/open.ts";
import manifest from "./deno.json" with { type: "json" };
import { startShield } from "./server.ts";

const PROGRAM = "shield";
const { version } = manifest;
const HELP = `Usage: shield --config FILE

The ArqonBus edge gateway: WebSocket and HTTP on [server] port (4000), metrics and
health on [ops] (4001), the admin API on [admin] (4002).

  --config FILE   the node's config.toml (docs/configuration.md lists every key)
  --help          this text
  --version       the version

Exit codes: 0 stopped by SIGINT or SIGTERM, 1 could not start, 2 wrong arguments or configuration.`;

const NO_ISSUER = `[[auth.issuers]] is missing: without an issuer every token is refused. \
docs/security.md shows one; \`arq auth keys\` makes a key.`;

async function run(config: Config): Promise<void> {
  const now = Date.now;
  const log = createLogger({ ...config.log, component: PROGRAM, now, write: writeStderr });
  logUnhandled(log);
  const stopping = stopSignal(PROGRAM, log);
  const fatal = Promise.withResolvers<string>();
  const random = randomPool((bytes) => crypto.getRandomValues(bytes));
  const readTextFile = (path: string) => Deno.readTextFileSync(path);
  const registry = createMetrics({ node_id: config.server.node_id ?? PROGRAM, version });
  using _loop = watchEventLoop(registry, now);
  const tls = tlsFiles(config);
  const spine = await openSpine(config, {
    log: log.child({ part: "spine" }),
    now,
    files: { read: readTextFile },
  });
  registerSpineMetrics(spine, registry);
  const shield = await startShield({
    config,
    spine,
    log,
    registry,
    version,
    now,
    random,
    monotonic_ms: () => performance.now(),
    overseer_log: createLogger({ ...config.log, component: "overseer", now, write: writeStderr }),
    registry_log: createLogger({ ...config.log, component: "registry", now, write: writeStderr }),
    cores: navigator.hardwareConcurrency,
    onFatal: fatal.resolve,
    readTextFile,
    fetch,
  });
  const health = () => ({ checks: shield.checks() });
  const client = listen({ name: "client", ...config.server, handler: shield.client, tls });
  const handler = opsHandler({ registry, health, now, log });
  const ops = listen({ name: "ops", ...config.ops, handler });
  const admin = listen({ name: "admin", ...config.admin, handler: shield.admin });
  log.info("ready", {
    version,
    node_id: shield.node_id,
    url: client.url,
    ops_url: ops.url,
    admin_url: admin.url,
    spine: spine.status.engine,
  });
  const failure = await Promise.race([stopping.then(() => undefined), fatal.promise]);
  if (failure !== undefined) log.error("draining: the process cannot go on", { failure });
  await shield.drain();
  await client.close();
  await spine.drain();
  // Listeners for operators last: probes see "draining" until the end.
  await Promise.all([ops.close(), admin.close()]);
  log.info("stopped");
  if (failure !== undefined) stopWith(PROGRAM, EXIT_FAILED, failure);
}

if (import.meta.main) {
  const file = configArgument({ program: PROGRAM, help: HELP, version });
  const config = loadConfigFile(PROGRAM, file);
  if (config.auth.issuers.length === 0) stopWith(PROGRAM, EXIT_USAGE, `${file}: ${NO_ISSUER}`);
  try {
    await run(config);
  } catch (error) {
    const code = error instanceof ConfigError ? EXIT_USAGE : EXIT_FAILED;
    stopWith(PROGRAM, code, textOf(error));
  }
  Deno.exit(0);
}
