/**
 * Starts a real bus for a test: `tasks/dev/dev.ts` as a separate process on free ports, ended with the test's scope.
 * Tokens are made with the development key, as `arq auth gen` makes them. Tests that need no separate process start
 * faster with `local_bus.ts`.
 */
import type { DevBusReady } from "../../arq/serve/dev_bus.ts";
import { StreamedCommand } from "../../tasks/checkout/streamed_command.ts";
import { placeOf, type TestBus } from "./test_bus.ts";

export type { TestBus, TokenOptions } from "./test_bus.ts";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");

/** Runs the following command with this limit of open files (`ulimit -n`). */
export function withFiles(files: number): readonly string[] {
  return ["sh", "-c", `ulimit -n ${files}; exec "$@"`, "sh"];
}

/** A bus with this text as its `--config`, which is removed with the bus; `wrapper` as in `startBus`. */
export async function startBusWith(
  config: string,
  wrapper: readonly string[] = [],
): Promise<TestBus> {
  const file = await Deno.makeTempFile({ suffix: ".toml" });
  await Deno.writeTextFile(file, config);
  const bus = await startBus(["--config", file], false, wrapper);
  // The bus has read it when it is ready.
  await Deno.remove(file);
  return bus;
}

/**
 * Rejects with the log when the bus ends before it is ready or is not ready within a minute. `wrapper` is a command
 * that runs the one after it, for example with fewer rights.
 */
export async function startBus(
  args: string[] = [],
  watch = false,
  wrapper: readonly string[] = [],
): Promise<TestBus> {
  const words = [
    ...wrapper,
    Deno.execPath(),
    "run",
    // As in the task: the bus has other V8 flags, and would write the compiled modules again.
    "--no-code-cache",
    "--allow-run",
    `--allow-read`,
    `--allow-write=${ROOT}/.arqon`,
    `${ROOT}/tasks/dev/dev.ts`,
    "--json",
    ...(watch ? [] : ["--no-watch"]),
    ...["--port", "--ops-port", "--admin-port"].flatMap((flag) =>
      args.includes(flag) ? [] : [flag, "0"]
    ),
    ...args,
  ];
  const bus = StreamedCommand.start(words, { cwd: ROOT }, 100_000);
  const line = await bus.firstLine();
  const ready = JSON.parse(line) as Omit<DevBusReady, "key_file">;
  const key = JSON.parse(await Deno.readTextFile(`${ROOT}/.arqon/dev-key.json`));
  return {
    ...placeOf(ready, key),
    log: () => bus.stderr,
    stop: (signal) => bus.stop(signal),
    [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose](),
  };
}
