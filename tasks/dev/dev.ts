/**
 * `deno task dev`: starts the development bus, prints how to use it, and restarts it on the same ports after a source
 * file changes. The bus is the process of `dev_bus.ts`, which has narrow permissions; this process only supervises it.
 */
import { relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { busFlags } from "../../arq/commands/dev/dev_up.ts";
import type { DevBusOptions, DevBusReady } from "../../arq/serve/dev_bus.ts";
import { readyLine, readyText } from "../../arq/serve/ready_text.ts";
import { UsageError } from "../../bench/measure/scenario.ts";
import {
  flag,
  helpOf,
  maybe,
  readArguments,
  text,
  whole,
} from "../../tests/harness/task_arguments.ts";
import type { ValuesOf } from "../../tests/harness/task_arguments.ts";
import { devPrometheusConfig, type Prometheus, startPrometheus } from "./dev_observe.ts";
import { run } from "../checkout/programs.ts";
import { StreamedCommand } from "../checkout/streamed_command.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url)).replace(/[\\/]$/, "");
const WATCHED = ["proto", "shared", "wasm", "shield", "brain", "arq/replay", "arq/serve", "tasks"];
const SETTLE_MS = 150;
const ORPHAN_POLL_MS = 2_000;
/** The longest timer: a bus may wait for its NATS. */
const FOREVER_MS = 2 ** 31 - 1;

const port = (about: string) => maybe(whole(0, about, { low: 0, high: 65_535 }));
const USAGE = {
  command: "deno task dev",
  about: `Runs ArqonBus in one process (Shield and Brain on the embedded Spine) with a
development key, and starts it anew when a source file changes.`,
  options: {
    port: port("client port (4000; 0 picks a free one)"),
    "ops-port": port("metrics and health (4001; 0 picks a free one)"),
    "admin-port": port("admin API (4002; 0 picks a free one)"),
    "data-dir": text("DIR", "keep room state in DIR (default: in memory)"),
    config: text("FILE", "a config.toml; the development issuer is added to it"),
    nats: text("URL", "use a NATS server (2.11 or newer, with JetStream)"),
    json: flag(
      'print one line {"url","ops_url","admin_url","token","tenant"} on stdout when ready; the rest is on stderr',
    ),
    "no-watch": flag("do not start anew when a source file changes"),
    observe: flag("start Prometheus beside it, when one is installed"),
    "observe-port": port("where (default: a free port)"),
  },
};

const encoder = new TextEncoder();
const out = (text: string) => Deno.stdout.writeSync(encoder.encode(text));
const err = (text: string) => Deno.stderr.writeSync(encoder.encode(text));

/** The options of the bus; its ports are selected once. */
type Options = { -readonly [Key in keyof DevBusOptions]: DevBusOptions[Key] };

/** The command line's options. Ends the process for `--help` and for an invalid command line. */
function readOptions(args: readonly string[]): ValuesOf<typeof USAGE.options> {
  try {
    const values = readArguments(USAGE, args);
    if (values !== undefined) return values;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    err(`dev: ${error.message}\n`);
    Deno.exit(2);
  }
  out(`${helpOf(USAGE)}\n`);
  Deno.exit(0);
}

function optionsOf(values: ValuesOf<typeof USAGE.options>): Options {
  const { port, "ops-port": ops_port, "admin-port": admin_port, config, nats } = values;
  const data_dir = values["data-dir"];
  return {
    state_dir: `${ROOT}/.arqon`,
    ...(port === undefined ? {} : { port }),
    ...(ops_port === undefined ? {} : { ops_port }),
    ...(admin_port === undefined ? {} : { admin_port }),
    ...(data_dir === undefined ? {} : { data_dir: resolve(data_dir) }),
    ...(config === undefined ? {} : { config_file: resolve(config) }),
    ...(nats === undefined ? {} : { nats_url: nats }),
  };
}

interface RunningBus {
  child: Deno.ChildProcess;
  /** Its addresses; undefined if it ends without them. */
  ready: Promise<DevBusReady | undefined>;
}

/** Lets comments of a test's configuration set constants. */
function presetsOf(config_file: string | undefined): string[] {
  try {
    const sets = Deno.readTextFileSync(config_file ?? "").includes("#constant ");
    return sets ? [`--preload=${ROOT}/shared/config/testing/set_constants.ts`] : [];
  } catch {
    // The bus reports an unreadable configuration.
    return [];
  }
}

function spawnBus(options: DevBusOptions): RunningBus {
  const words = [
    ...[Deno.execPath(), "run", ...busFlags({ ...options, root: ROOT }, [Deno.execPath()])],
    ...[...presetsOf(options.config_file), `${ROOT}/tasks/dev/dev_bus.ts`, JSON.stringify(options)],
  ];
  const bus = StreamedCommand.start(words, { cwd: ROOT, stdin: "piped", stderr: "inherit" });
  const ready = bus.shows(() => bus.lines.length > 0, FOREVER_MS)
    .then((is_ready) => is_ready ? JSON.parse(bus.lines[0]!) : undefined);
  return { child: bus.child, ready };
}

/** Prints how to use the bus. `has_durable`: whether the bus has the room classes of the dev defaults. */
function announce(ready: DevBusReady, json: boolean, has_durable: boolean): void {
  const text = { arq: "npx -y deno task -q arq", end: "", has_durable };
  out(json ? readyLine(ready) : readyText(ready, text));
}

/** Starts Prometheus and prints its address, or why it does not run. The bus continues without it. */
async function observe(
  ops_url: string,
  state_dir: string,
  port: number,
): Promise<Prometheus | undefined> {
  try {
    const folder = `${state_dir}/prometheus-${Deno.pid}`;
    const config = devPrometheusConfig(ROOT, ops_url);
    const prometheus = await startPrometheus({ folder, config, port });
    err(
      prometheus === undefined
        ? "dev: no Prometheus: install it (apt-get install prometheus, brew install prometheus)\n"
        : `dev: Prometheus on ${prometheus.url}\n`,
    );
    return prometheus;
  } catch (error) {
    err(`dev: no Prometheus: ${error instanceof Error ? error.message : error}\n`);
    return undefined;
  }
}

function portOfUrl(url: string): number {
  return Number(new URL(url).port);
}

/**
 * Yields a path after each change of sources, once they have been unchanged for a moment. Every change since the call
 * counts, also before the first read.
 */
function changes(): AsyncIterable<string> {
  const watcher = Deno.watchFs(WATCHED.map((folder) => `${ROOT}/${folder}`));
  let timer: ReturnType<typeof setTimeout> | undefined;
  let settled = Promise.withResolvers<string>();
  (async () => {
    for await (const event of watcher) {
      const path = event.paths.find((item) =>
        /\.(ts|json)$/.test(item) && !/_test\.ts$/.test(item)
      );
      if (path === undefined || event.kind === "access") continue;
      clearTimeout(timer);
      timer = setTimeout(() => settled.resolve(relative(ROOT, path)), SETTLE_MS);
    }
  })();
  return (async function* () {
    for (;;) {
      const path = await settled.promise;
      settled = Promise.withResolvers();
      yield path;
    }
  })();
}

async function supervise(values: ValuesOf<typeof USAGE.options>): Promise<never> {
  const options = optionsOf(values);
  const { json } = values;
  const observe_port = values["observe-port"] ?? (values.observe ? 0 : undefined);
  // The watch starts before the first bus reads its sources, so that no change during the start is missed.
  const changed = values["no-watch"] ? undefined : changes();
  let bus = spawnBus(options);
  let observing: Promise<Prometheus | undefined> | undefined;
  const exit = async (code: number): Promise<never> => {
    await (await observing)?.stop();
    Deno.exit(code);
  };
  const end = async () => {
    await stop(bus.child);
    await exit((await bus.child.status).success ? 0 : 1);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, end);
  watchLauncher(end);
  const first = await bus.ready;
  if (first === undefined) Deno.exit((await bus.child.status).code || 1);
  announce(first, json, options.config_file === undefined);
  if (observe_port !== undefined) {
    if (json) err(`dev: console on ${first.admin_url}/console/\n`);
    observing = observe(first.ops_url, options.state_dir, observe_port);
  }
  if (changed === undefined) return await exit((await bus.child.status).code);
  // The ports stay the same, since clients reconnect to the same address.
  options.port = portOfUrl(first.url);
  options.ops_port = portOfUrl(first.ops_url);
  options.admin_port = portOfUrl(first.admin_url);
  for await (const path of changed) {
    err(`dev: ${path} changed, starting anew\n`);
    await stop(bus.child);
    await bus.child.status;
    bus = spawnBus(options);
    const again = await bus.ready;
    err(again === undefined ? "dev: not running; waiting for a change\n" : "dev: ready again\n");
  }
  return await exit(0);
}

/** The pid of a process's parent by `ps` (Deno restricts /proc); undefined without a parent. */
async function parentOf(pid: number): Promise<number | undefined> {
  const ran = await run("ps", ["-o", "ppid=", "-p", String(pid)]);
  return ran?.ok === true ? Number(ran.stdout) : undefined;
}

/**
 * Calls `onOrphaned` after the parent of `deno task` has ended. npx forwards no signal, so a killed `npx deno task dev`
 * would leave the bus on its ports forever.
 */
async function watchLauncher(onOrphaned: () => void): Promise<void> {
  const launcher = await parentOf(Deno.ppid);
  if (launcher === undefined || launcher <= 1) return;
  const timer = setInterval(async () => {
    if (await parentOf(Deno.ppid) === launcher) return;
    clearInterval(timer);
    onOrphaned();
  }, ORPHAN_POLL_MS);
}

/**
 * Requests the bus to drain by closing its stdin. A Ctrl-C has already sent it a signal, and a second signal means an
 * immediate exit.
 */
async function stop(child: Deno.ChildProcess): Promise<void> {
  // A closed stdin belongs to a bus that is ending.
  await child.stdin.close().catch(() => {});
}

if (import.meta.main) await supervise(readOptions(Deno.args));
