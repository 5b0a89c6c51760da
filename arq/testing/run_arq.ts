/**
 * Runs the real `arq` in a process of its own for tests, with the permissions of `deno task arq`. It runs in
 * a folder of its own, so that it finds no other development bus of this checkout.
 */
import assert from "node:assert/strict";
import { StreamedCommand } from "../../tasks/checkout/streamed_command.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const NO_CONFIG = "/nowhere/of/arq-tests";

async function permissions(): Promise<string[]> {
  const { tasks } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  return String(tasks.arq).split(" ").filter((word) => word.startsWith("--"));
}

/** The program `arq` and its first arguments. */
export async function arqCommand(): Promise<string[]> {
  // With --quiet, Deno's own messages about new files do not appear in the output of arq.
  return [Deno.execPath(), "run", "--quiet", ...await permissions(), `${ROOT}arq/main.ts`];
}

/** The output and exit code of a finished `arq`. */
export interface ArqResult {
  code: number;
  stdout: string;
  bytes: Uint8Array;
  stderr: string;
}

/** A running process of `arq`. */
export interface ArqProcess {
  readonly child: Deno.ChildProcess;
  /** Resolves when stderr contains `text`; rejects when the process ends first or it takes too long. */
  says(text: string): Promise<void>;
  /** What it has written to stderr so far, for failure messages. */
  stderr(): string;
  result(): Promise<ArqResult>;
}

/** Where `arq` starts (`cwd`; this checkout if absent) and what it reads; without input options it has no stdin. */
export interface ArqOptions {
  cwd?: string;
  /** Folder with `arqon/contexts.json`; absent: there are no contexts. */
  config_home?: string;
  stdin?: string | Uint8Array | undefined;
  /** Variables in addition to those of this process. */
  env?: Readonly<Record<string, string>>;
  /** Leave stdin open for the test to write to. */
  keep_stdin?: boolean;
}

/** Starts `arq` with these arguments. */
export async function startArq(args: string[], options: ArqOptions = {}): Promise<ArqProcess> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", ...await permissions(), `${ROOT}arq/main.ts`, ...args],
    cwd: options.cwd ?? ROOT,
    env: {
      // `deno task` sets this variable, and a test may run below a task.
      INIT_CWD: options.cwd ?? ROOT,
      // The contexts of the user who runs the tests must not apply.
      XDG_CONFIG_HOME: options.config_home ?? NO_CONFIG,
      APPDATA: options.config_home ?? NO_CONFIG,
      // The tests may run below npx, but this `arq` does not.
      npm_command: "",
      ...options.env,
    },
    stdin: options.stdin === undefined && !options.keep_stdin ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  if (options.stdin !== undefined) {
    const text = options.stdin;
    const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
    const writer = child.stdin.getWriter();
    writer.write(bytes as Uint8Array<ArrayBuffer>).then(() => writer.close()).catch(() => {});
  }
  const arq = new StreamedCommand(child, ["stderr"]);
  let out: Promise<Uint8Array> | undefined;
  const read = () => out ??= new Response(child.stdout).bytes();
  return {
    child,
    says: (text) => arq.until(text),
    stderr: () => arq.stderr,
    async result() {
      const [bytes, status, stderr] = await Promise.all([read(), child.status, arq.ended]);
      return { code: status.code, bytes, stdout: new TextDecoder().decode(bytes), stderr };
    },
  };
}

/** Runs `arq` to its end. */
export async function runArq(args: string[], options: ArqOptions = {}): Promise<ArqResult> {
  return await (await startArq(args, options)).result();
}

/** Runs an `arq` that must end with that exit code. */
export async function exits(
  code: number,
  args: string[],
  options: ArqOptions = {},
): Promise<ArqResult> {
  const result = await runArq(args, options);
  assert.equal(result.code, code, `${args.join(" ")}: ${result.stderr}${result.stdout}`);
  return result;
}

/** What an `arq` about this bus writes, which must end with that exit code. */
export async function arqOn(
  { url }: { readonly url: string },
  code: number,
  ...args: string[]
): Promise<string> {
  const { stdout, stderr } = await exits(code, [...args, "--url", url]);
  return stdout + stderr;
}

/** An `arq policy` in this folder, which must end with that exit code and show no stack trace. */
export async function policyIn(cwd: string, code: number, ...args: string[]): Promise<ArqResult> {
  const result = await exits(code, ["policy", ...args], { cwd });
  assert.doesNotMatch(result.stderr, /^ +at |\.ts:\d+:\d+\)/m, "no stack trace");
  return result;
}

/** The stdout of a command that must succeed. */
export function succeeds({ code, stdout, stderr }: Omit<ArqResult, "bytes">): string {
  assert.equal(code, 0, stderr + stdout);
  return stdout;
}

/** Requires the exit code of a command, and what it says on stderr, without a stack trace. */
export function fails(result: ArqResult, expected: RegExp, code = 1): void {
  assert.equal(result.code, code, `${result.stdout}${result.stderr}`);
  assert.match(result.stderr, expected);
  assert.doesNotMatch(result.stderr, /^\s+at /m);
}

/** A command line, its required exit code, and the required text on stderr. */
export type Refusal = [args: string[], code: number, stderr: RegExp];

/** Runs each command line, after `group`, and requires that it is refused as its case says, without a stack trace. */
export async function refuses(cases: readonly Refusal[], ...group: string[]): Promise<void> {
  for (const [args, code, stderr] of cases) {
    const result = await exits(code, [...group, ...args]);
    assert.match(result.stderr, stderr, args.join(" "));
    assert.equal(result.stdout, "");
    assert.doesNotMatch(result.stderr, /\.ts:\d/, "no stack trace");
  }
}
