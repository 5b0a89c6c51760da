/**
 * Starts a real `nats-server` for a test: its own folder, a free port, stopped and removed with `await using`. It can
 * be killed and restarted on the same port and store.
 */
import { TextLineStream } from "../../bench/measure/text_lines.ts";
import { atEnd } from "../../shared/testing/at_end.ts";
import { until } from "../../shared/testing/until.ts";
import { ensureNatsServer } from "../../tasks/nats_server.ts";
import { freePort } from "./free_ports.ts";

/** The options of a server. */
export interface NatsOptions {
  /** Enables JetStream, which key-value needs. */
  readonly jetstream?: boolean;
  /** JetStream's domain, for two connected sites. */
  readonly domain?: string;
  /** JetStream's sync interval, for example `2m`; absent: each write, so that a machine's crash loses nothing. */
  readonly sync_interval?: string | undefined;
  /** JetStream's storage, in the notation of its configuration, for example `18GB`; absent: the disk's free space. */
  readonly max_file?: string;
  /** Absent: a free one. */
  readonly port?: number;
  /** Additional lines for its configuration file, for example `max_payload: 65536`. */
  readonly config?: string;
}

/** A running server, and its faults for tests. */
export interface NatsServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Folder of its JetStream data. */
  readonly store: string;
  /** The running process; throws RangeError while there is none. */
  readonly pid: number;
  /** The last lines of its log, for failure messages. */
  logTail(): string;
  /** The lines of its log, of all its runs, about missing permissions. */
  readonly violations: readonly string[];
  /** Ends it at once, as a crash would (SIGKILL). */
  kill(): Promise<void>;
  /** Ends it cleanly (SIGTERM). */
  stop(): Promise<void>;
  /** Restarts it on the same port and store, after `kill` or `stop`. */
  start(): Promise<void>;
  /** `kill`, then `start`. */
  restart(): Promise<void>;
  /** Freezes it (SIGSTOP): once this resolves, connections stay open and nothing answers, until `resume`. */
  freeze(): Promise<void>;
  resume(): void;
  /** Replaces `config` while it runs (SIGHUP). Resolves when the server has loaded it. */
  reload(config: string): Promise<void>;
}

/** Timeout of a start; reached only when the server hangs. */
const START_MS = 30_000;
const TAIL_LINES = 60;
/** Between finding a free port and listening on it, another process may take it. */
const ATTEMPTS = 3;

interface Running {
  readonly child: Deno.ChildProcess;
  readonly port: number;
  /** Resolves when the process has ended and its log is read to the end. */
  readonly ended: Promise<void>;
}

async function launch(
  program: string,
  config: string,
  tail: string[],
  violations: string[],
): Promise<Running> {
  const child = new Deno.Command(program, {
    args: ["--config", config],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const { promise: ready, resolve, reject } = Promise.withResolvers<number>();
  let port = 0;
  const lines = child.stderr.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
  const onLine = (line: string) => {
    tail.push(line);
    if (tail.length > TAIL_LINES) tail.shift();
    if (/\bViolation\b/.test(line)) violations.push(line);
    port = Number(line.match(/Listening for client connections on \S+:(\d+)/)?.[1] ?? port);
    if (line.includes("Server is ready")) resolve(port);
  };
  const read = lines.pipeTo(new WritableStream({ write: onLine }));
  const ended = Promise.all([child.status, read]).then(() => {});
  const failed = (why: string) =>
    reject(new Error(`nats-server ${why}; its log:\n${tail.join("\n")}`));
  ended.then(() => failed("ended before it was ready"));
  const timer = setTimeout(() => failed("was not ready in time"), START_MS);
  try {
    return { child, port: await ready, ended };
  } catch (error) {
    child.kill("SIGKILL");
    await ended;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function configText(folder: string, port: number, options: NatsOptions): string {
  const domain = options.domain === undefined ? "" : `, domain: ${options.domain}`;
  const { sync_interval = "always" } = options;
  const size = options.max_file === undefined ? "" : `, max_file: ${options.max_file}`;
  return [
    `listen: "127.0.0.1:${port}"`,
    ...(options.jetstream === true
      ? [
        `jetstream { store_dir: ${
          JSON.stringify(`${folder}/js`)
        }, sync_interval: ${sync_interval}${domain}${size} }`,
      ]
      : []),
    options.config ?? "",
    "",
  ].join("\n");
}

/** True when every thread of the process is stopped. Deno itself may not read `/proc` without `-A`. */
async function isFrozen(pid: number): Promise<boolean> {
  const ask = Deno.build.os === "linux"
    ? `sed -n 's/^State:[[:space:]]*//p' /proc/${pid}/task/*/status`
    : `ps -o state= -p ${pid}`;
  const { stdout } = await new Deno.Command("sh", { args: ["-c", ask] }).output();
  const states = new TextDecoder().decode(stdout).trim().split("\n");
  return states.every((state) => /^[Tt]/.test(state));
}

async function freeze(child: Deno.ChildProcess): Promise<void> {
  child.kill("SIGSTOP");
  await until("nats-server is frozen", () => isFrozen(child.pid));
}

/** On a port to which it can return later: see `free_ports.ts`. */
async function upSomewhere(up: (port: number) => Promise<Running>): Promise<Running> {
  for (let attempt = 1;; attempt++) {
    try {
      return await up(freePort());
    } catch (error) {
      if (attempt === ATTEMPTS || !String(error).includes("address already in use")) throw error;
    }
  }
}

/** Starts a server and waits until it is ready. Rejects with its log when it fails to start. */
export async function startNats(given: NatsOptions = {}): Promise<NatsServer> {
  let options = given;
  const program = await ensureNatsServer();
  const folder = await Deno.makeTempDir({ prefix: "arqon-nats-" });
  const config = `${folder}/nats.conf`;
  const tail: string[] = [];
  const violations: string[] = [];
  const up = async (port: number): Promise<Running> => {
    await Deno.writeTextFile(config, configText(folder, port, options));
    return await launch(program, config, tail, violations);
  };
  let running: Running | undefined;
  try {
    running = await (options.port === undefined ? upSomewhere(up) : up(options.port));
  } catch (error) {
    await Deno.remove(folder, { recursive: true });
    throw error;
  }
  const { port } = running;
  const end = async (signal: Deno.Signal): Promise<void> => {
    const ending = running;
    running = undefined;
    if (ending === undefined) return;
    try {
      ending.child.kill(signal);
    } catch (cause) {
      await ending.ended;
      throw new Error(`nats-server had ended by itself; its log:\n${tail.join("\n")}`, { cause });
    }
    await ending.ended;
  };
  const start = async (): Promise<void> => {
    if (running !== undefined) throw new Error("nats-server is already running");
    running = await up(port);
  };
  return {
    url: `nats://127.0.0.1:${port}`,
    port,
    store: `${folder}/js`,
    get pid() {
      if (running === undefined) throw new RangeError("nats-server does not run");
      return running.child.pid;
    },
    logTail: () => tail.join("\n"),
    violations,
    kill: () => end("SIGKILL"),
    stop: () => end("SIGTERM"),
    start,
    restart: () => end("SIGKILL").then(start),
    freeze: () => running === undefined ? Promise.resolve() : freeze(running.child),
    resume: () => running?.child.kill("SIGCONT"),
    reload: async (more) => {
      options = { ...options, config: more };
      if (running === undefined) return;
      await Deno.writeTextFile(config, configText(folder, port, options));
      tail.length = 0;
      running.child.kill("SIGHUP");
      const isReloaded = () => tail.some((line) => line.includes("Reloaded server configuration"));
      await until(() => `nats-server reloads:\n${tail.join("\n")}`, isReloaded);
    },
    [Symbol.asyncDispose]: async () => {
      await using _end = atEnd(() => Deno.remove(folder, { recursive: true }));
      await end("SIGKILL");
    },
  };
}
