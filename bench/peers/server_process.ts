/**
 * Runs a peer's server: makes a folder for its configuration, starts the process with its log, and waits until it is
 * ready. It knows no peer.
 */
import { StreamedCommand } from "../../tasks/checkout/streamed_command.ts";
import type { RunningTarget, WireSpec } from "../load/targets/target.ts";
import { caOf } from "../load/targets/target_bare.ts";
import { ROOT } from "../measure/scenario.ts";

/** A server that is ready. */
export interface Ready {
  readonly version: string;
  readonly url: string;
}

interface RunFolder {
  /** Writes a file into the folder and returns its path. */
  write(name: string, text: string): Promise<string>;
}

/** A program to start, and the sign of its readiness. */
interface ServerCommand<T> {
  readonly program: string;
  readonly args: readonly string[];
  /** Reads the start's result from the program's output and log; undefined until it is ready. */
  readonly ready: (log: string) => T | undefined;
}

/** Time limit for a start or an end, reached only if the server hangs. */
const PATIENCE_MS = 30_000;
const TAIL_CHARACTERS = 4_000;

/**
 * Raises the limit of file descriptors as far as possible; otherwise a soft limit of 1,024 would decide the figures. It
 * is at most 65,536, as libwebsockets reserves memory for each.
 */
const WITH_DESCRIPTORS = `most=$(ulimit -H -n)
[ "$most" != unlimited ] && [ "$most" -le 65536 ] || most=65536
ulimit -n "$most"
exec "$0" "$@"`;

/** Starts a program and waits until it is ready. Rejects with the end of its log if it does not start. */
async function startServer<T>(command: ServerCommand<T>, owned: AsyncDisposableStack) {
  const { program, args } = command;
  const child = new Deno.Command("sh", {
    args: ["-c", WITH_DESCRIPTORS, program, ...args],
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const server = new StreamedCommand(child);
  owned.defer(async () => {
    const killer = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
    await server.stop();
    clearTimeout(killer);
  });
  let ready: T | undefined;
  await server.shows((log) => (ready = command.ready(log)) !== undefined, PATIENCE_MS);
  if (ready !== undefined) return { pid: child.pid, ready };
  throw new Error(`${program} was not ready; its log:\n${server.text.slice(-TAIL_CHARACTERS)}`);
}

/** A peer's server as a target. Its end also deletes the folder of its files. */
export async function startPeer<T>(
  protocol: WireSpec["protocol"],
  tls: boolean,
  prepare: (folder: RunFolder) => ServerCommand<T> | Promise<ServerCommand<T>>,
  readyOf: (ready: T) => Ready | Promise<Ready>,
): Promise<RunningTarget> {
  await using parts = new AsyncDisposableStack();
  const parent = `${ROOT}/.arqon/bench`;
  await Deno.mkdir(parent, { recursive: true });
  const path = await Deno.makeTempDir({ dir: parent, prefix: "peer-" });
  parts.defer(() => Deno.remove(path, { recursive: true }));
  const write = async (name: string, text: string) => {
    await Deno.writeTextFile(`${path}/${name}`, text);
    return `${path}/${name}`;
  };
  const { pid, ready } = await startServer(await prepare({ write }), parts);
  const { version, url } = await readyOf(ready);
  const ca = await caOf(tls);
  const running = parts.move();
  return {
    version,
    pids: [pid],
    wire: { protocol, url, tokens: [], ...ca },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
