/**
 * `arq serve` as a separate process for tests, with the flags of `deno task arq`, but started by the path of `deno` and
 * without one on the PATH, as `npx arq` starts it.
 */
import { fileURLToPath } from "node:url";
import { runArq, succeeds } from "../../arq/testing/run_arq.ts";
import { StreamedCommand } from "../../tasks/checkout/streamed_command.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Its addresses and output. */
export interface ServedBus extends AsyncDisposable {
  readonly url: string;
  readonly ops_url: string;
  readonly admin_url: string;
  log(): string;
  signal(name: Deno.Signal): void;
  /** Ends it with a signal and waits; returns the exit code. */
  stop(signal?: Deno.Signal): Promise<number>;
}

async function flags(): Promise<string[]> {
  const { tasks } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  const words = String(tasks.arq).split(" ").filter((word) => word.startsWith("--"));
  return words.map((word) =>
    word.startsWith("--allow-run=") ? `--allow-run=${Deno.execPath()}` : word
  );
}

/**
 * Rejects with its output when it ends before it is ready or takes longer than `ready_ms` (a minute). `env`: more of
 * it.
 */
export async function startServe(
  folder: string,
  ready_ms?: number,
  env: Readonly<Record<string, string>> = {},
): Promise<ServedBus> {
  const program = `${ROOT}arq/main.ts`;
  const own = ["serve", "--config", "config.toml", "--json"];
  const sets = (await Deno.readTextFile(`${folder}/config.toml`)).includes("#constant ");
  const preload = sets ? [`--preload=${ROOT}shared/config/testing/set_constants.ts`] : [];
  const words = [Deno.execPath(), "run", ...await flags(), ...preload, program, ...own];
  const bus = StreamedCommand.start(words, {
    cwd: folder,
    env: { PATH: "/nowhere", INIT_CWD: folder, ...env },
  });
  if (!await bus.shows(() => bus.lines.length > 0, ready_ms)) {
    const { code } = await (await bus.endsWithin(0) ? bus.child.status : bus.stop("SIGKILL"));
    throw new Error(`it ended with ${code}:\n${bus.stderr}`);
  }
  return {
    ...JSON.parse(bus.lines[0]!),
    log: () => bus.stderr,
    signal: (name: Deno.Signal) => bus.child.kill(name),
    stop: async (signal?: Deno.Signal) => (await bus.stop(signal)).code,
    [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose](),
  };
}

/**
 * A folder created by `arq init`, with `more` in its configuration, on `port` for clients and other free ones. Its name
 * contains a space.
 */
export async function initFolder(more = "", port = 0) {
  const path = await Deno.makeTempDir({ prefix: "arq serve-" });
  succeeds(await runArq(["init", "--no-context"], { cwd: path }));
  const config = (await Deno.readTextFile(`${path}/config.toml`))
    .replace(/^port = \d+$/gm, "port = 0").replace("port = 0", `port = ${port}`);
  await Deno.writeTextFile(`${path}/config.toml`, config + more);
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

/** A token for the bus of such a folder, valid for longer than any run. */
export async function tokenOf(cwd: string, role: string): Promise<string> {
  const key = ["--key", "keys/arqon-private.jwk.json"];
  const claims = ["--issuer", "arqon-local", "--audience", "arqon", "--role", role];
  const args = ["auth", "gen", ...key, ...claims, "--ttl", "1d"];
  return succeeds(await runArq(args, { cwd })).trim();
}
