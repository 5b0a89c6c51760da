/**
 * `deno task shield`, `brain` or `arq serve` as a process that is expected to end on its own, for tests of refused
 * starts. `cluster.ts` and `serve_bus.ts` have servers that serve.
 */
import { createIssuer } from "./cluster.ts";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
/** Long enough for a slow machine; only a hanging process takes all of it. */
const DEADLINE_MS = 120_000;
const LISTENERS =
  '[server]\nport = 0\n[ops]\nport = 0\n[admin]\nport = 0\noperator_tenants = ["*"]\n';

/** A file of a configuration on free ports, with an issuer; it is gone when `work` is done. */
export async function withConfig(
  text: string,
  work: (file: string) => Promise<void>,
): Promise<void> {
  await using issuer = await createIssuer();
  const file = `${issuer.dir}/config.toml`;
  await Deno.writeTextFile(file, `${LISTENERS}${text}${issuer.config}`);
  await work(file);
}

/** Its output and exit code. */
export interface Ended {
  readonly code: number;
  readonly stderr: string;
}

/** The task's command, with the constants that comments of its configuration set. */
function programOf(part: string, config_file: string): string[] {
  if (!Deno.readTextFileSync(config_file).includes("#constant ")) return ["task", "-q", part];
  const { tasks } = JSON.parse(Deno.readTextFileSync(`${ROOT}/deno.json`));
  const [, run, ...flags] = tasks[part].split(" ");
  return [run, "--preload=shared/config/testing/set_constants.ts", ...flags];
}

/** Starts it with this configuration; `wrapper` is a command that runs the one after it, `deno` another Deno. */
export function startTask(
  part: "shield" | "brain" | "arq",
  config_file: string,
  wrapper: readonly string[] = [],
  deno: readonly string[] = [Deno.execPath()],
): Deno.ChildProcess {
  const args = part === "arq" ? ["serve", "--config", config_file] : ["--config", config_file];
  const [program = "", ...rest] = [...wrapper, ...deno];
  return new Deno.Command(program, {
    args: [...rest, ...programOf(part, config_file), ...args],
    cwd: ROOT,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
}

/** Waits for its end; a hanging process is killed. */
export async function ended(child: Deno.ChildProcess): Promise<Ended> {
  const timer = setTimeout(() => child.kill("SIGKILL"), DEADLINE_MS);
  const { code, stderr } = await child.output();
  clearTimeout(timer);
  return { code, stderr: new TextDecoder().decode(stderr) };
}
