/**
 * Runs one command as a person does, in a pseudo-terminal, and as a script does, in a pipe: the same
 * waiting, typing and Ctrl-C for both. The terminal is Python's (`arq_pty.py`).
 */
import { arqCommand } from "../../arq/testing/run_arq.ts";

const PTY = new URL("arq_pty.py", import.meta.url).pathname;
const WAIT_MS = 60_000;
const CTRL_C = "\u0003";

/** How a command is run. */
export type Way = "terminal" | "pipe";

/** The action after a text was seen. */
export interface Step {
  readonly until: string;
  /** The typed text; Ctrl-C is a signal in a pipe. */
  readonly send?: string;
  /** New rows and columns of the window; ignored in a pipe. */
  readonly resize?: readonly [rows: number, columns: number];
}

/** Waits for a text, then Ctrl-C. */
export const stopAfter = (until: string): Step[] => [{ until, send: CTRL_C }];

/** The environment of a run. */
export interface Where {
  readonly cwd: string;
  readonly config_home: string;
  /** Rows and columns of the window. */
  readonly window?: readonly [rows: number, columns: number];
  /** In addition to the variables that every test sets. */
  readonly env?: Readonly<Record<string, string>>;
}

/** The result of a command. */
export interface Seen {
  readonly code: number;
  /** In a terminal this includes stderr. */
  readonly stdout: string;
  /** Empty in a terminal. */
  readonly stderr: string;
  /** The text that a step still waited for at the end. */
  readonly waits_for: string | undefined;
}

function environment({ cwd, config_home, env }: Where): Record<string, string> {
  return { INIT_CWD: cwd, XDG_CONFIG_HOME: config_home, APPDATA: config_home, ...env };
}

/** Runs any program in a terminal. */
export async function inTerminal(
  program: readonly string[],
  steps: readonly Step[],
  where: Where,
): Promise<Seen> {
  const [rows, columns] = where.window ?? [24, 80];
  const spec = {
    args: program,
    cwd: where.cwd,
    env: environment(where),
    rows,
    columns,
    timeout_s: WAIT_MS / 1_000,
    steps,
  };
  const child = new Deno.Command("python3", {
    args: [PTY],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(JSON.stringify(spec)));
  await writer.close();
  const { stdout, stderr } = await child.output();
  const text = new TextDecoder().decode(stdout);
  if (text === "") throw new Error(`the terminal failed:\n${new TextDecoder().decode(stderr)}`);
  const { output, code, waits_for } = JSON.parse(text);
  return { stdout: output, stderr: "", code, waits_for: waits_for ?? undefined };
}

async function inPipe(
  program: readonly string[],
  steps: readonly Step[],
  where: Where,
): Promise<Seen> {
  const [command = "", ...args] = program;
  const child = new Deno.Command(command, {
    args,
    cwd: where.cwd,
    env: environment(where),
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), WAIT_MS);
  const output = { stdout: "", stderr: "" };
  const left = [...steps];
  const read = async (name: "stdout" | "stderr") => {
    for await (const text of child[name].pipeThrough(new TextDecoderStream())) {
      output[name] += text;
      const step = left[0];
      if (step === undefined || !output[name].includes(step.until)) continue;
      left.shift();
      if (step.send === CTRL_C) child.kill("SIGINT");
    }
  };
  try {
    const [{ code }] = await Promise.all([child.status, read("stdout"), read("stderr")]);
    return { ...output, code, waits_for: left[0]?.until };
  } finally {
    clearTimeout(timer);
  }
}

/** Runs `arq` to its end. */
export async function runIn(
  way: Way,
  args: readonly string[],
  steps: readonly Step[],
  where: Where,
): Promise<Seen> {
  const program = [...await arqCommand(), ...args];
  return await (way === "terminal" ? inTerminal : inPipe)(program, steps, where);
}
