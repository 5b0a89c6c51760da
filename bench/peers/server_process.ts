/**
 * Runs a peer's server: makes a folder for its configuration, starts the process with its log, and waits
 * until it is ready. It knows no peer.
 */
import { caOf } from "../load/targets/target_bare.ts";
import type { RunningTarget, WireSpec } from "../load/targets/target.ts";
import { ROOT } from "../measure/scenario.ts";
import { TextLineStream } from "../measure/text_lines.ts";

/** A folder for the files of one run. Disposing of it removes the folder. */
interface RunFolder extends AsyncDisposable {
  readonly path: string;
  /** Writes a file into the folder and returns its path. */
  write(name: string, text: string): Promise<string>;
}

/** A program to start, and how its readiness is recognised. */
export interface ServerCommand<T> {
  readonly program: string;
  readonly args: readonly string[];
  /** Called for each line that the program prints or logs, until it returns the result of the start. */
  readonly ready: (line: string) => T | undefined;
}

/** A running program. Disposing of it ends the program. */
interface ServerProcess<T> extends AsyncDisposable {
  readonly pid: number;
  readonly ready: T;
}

/** Time for a start or an end, reached only when the server hangs. */
const PATIENCE_MS = 30_000;
const TAIL_LINES = 40;

/**
 * Raises the limit of descriptors as far as possible, since a soft limit of 1,024 would be what is measured.
 * It stays at 65,536 at most, as libwebsockets reserves memory for each.
 */
const WITH_DESCRIPTORS = `most=$(ulimit -H -n)
[ "$most" != unlimited ] && [ "$most" -le 65536 ] || most=65536
ulimit -n "$most"
exec "$0" "$@"`;

/** Makes a folder below `.arqon/bench`. */
async function runFolder(): Promise<RunFolder> {
  const parent = `${ROOT}/.arqon/bench`;
  await Deno.mkdir(parent, { recursive: true });
  const path = await Deno.makeTempDir({ dir: parent, prefix: "peer-" });
  return {
    path,
    async write(name, text) {
      await Deno.writeTextFile(`${path}/${name}`, text);
      return `${path}/${name}`;
    },
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}

async function readLines(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  onLine: (line: string) => void,
): Promise<void> {
  const lines = stream.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
  for await (const line of lines) onLine(line);
}

async function end(child: Deno.ChildProcess, ended: Promise<unknown>): Promise<void> {
  const signal = (name: Deno.Signal) => {
    try {
      child.kill(name);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // it has ended already
    }
  };
  signal("SIGTERM");
  const timer = setTimeout(() => signal("SIGKILL"), PATIENCE_MS);
  await ended;
  clearTimeout(timer);
}

/** Starts a program and waits until it is ready. Rejects with the end of its log when it does not start. */
async function startServer<T>(command: ServerCommand<T>): Promise<ServerProcess<T>> {
  const child = new Deno.Command("sh", {
    args: ["-c", WITH_DESCRIPTORS, command.program, ...command.args],
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const tail: string[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const onLine = (line: string) => {
    tail.push(line);
    if (tail.length > TAIL_LINES) tail.shift();
    const ready = command.ready(line);
    if (ready !== undefined) resolve(ready);
  };
  const ended = Promise.all([
    child.status,
    readLines(child.stdout, onLine),
    readLines(child.stderr, onLine),
  ]);
  const failed = (why: string) =>
    reject(new Error(`${command.program} ${why}; its log:\n${tail.join("\n")}`));
  ended.then(() => failed("ended before it was ready"));
  const timer = setTimeout(() => failed("was not ready in time"), PATIENCE_MS);
  try {
    const ready = await promise;
    return { pid: child.pid, ready, [Symbol.asyncDispose]: () => end(child, ended) };
  } catch (error) {
    await end(child, ended);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** The ready line of a server that runs our script: JSON with its port and version. */
export function readyLine(line: string): { port: number; version: string } | undefined {
  return line.startsWith("{") ? JSON.parse(line) : undefined;
}

/** A peer's server as a target, which ends with the folder of its files. */
export async function startPeer<T>(
  protocol: WireSpec["protocol"],
  tls: boolean,
  prepare: (folder: RunFolder) => ServerCommand<T> | Promise<ServerCommand<T>>,
  told: (ready: T) =>
    | { readonly version: string; readonly url: string }
    | Promise<
      { readonly version: string; readonly url: string }
    >,
): Promise<RunningTarget> {
  await using parts = new AsyncDisposableStack();
  const folder = parts.use(await runFolder());
  const server = parts.use(await startServer(await prepare(folder)));
  const { version, url } = await told(server.ready);
  const ca = await caOf(tls);
  const running = parts.move();
  return {
    version,
    pids: [server.pid],
    wire: { protocol, url, tokens: [], ...ca },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
