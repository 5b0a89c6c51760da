/**
 * Follows one program of tests: shows and keeps its output, and ends it after so long a silence that it must be stuck.
 * This is not a time limit of a test: an active run is never ended.
 */
import { ROOT } from "../checkout/source_files.ts";

/** How long to wait, in milliseconds. */
export interface Waits {
  /** Silence of the program before it is asked to end. The longest silence of a successful run is 50 s. */
  readonly silence_ms: number;
  /** Time from the request until the kill; and time after its end for output of its child processes. */
  readonly end_ms: number;
}

const WAITS: Waits = { silence_ms: 600_000, end_ms: 20_000 };

/** A program, and how it is started. */
interface TestProgram {
  readonly name: string;
  readonly command: readonly string[];
  /** Its working directory; absent: the checkout. */
  readonly cwd?: string;
  readonly env?: Record<string, string>;
  /** "piped": shown like its output. */
  readonly stderr?: "piped";
}

/** The end of a program, and its output on stdout. */
export interface Followed {
  readonly output: string;
  readonly success: boolean;
}

async function read(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  add: (text: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  for (;;) {
    const { value, done } = await reader.read();
    add(decoder.decode(value, { stream: !done }));
    if (done) return;
  }
}

/**
 * The states of a process's threads, for example "12 Sl futex_do_wait": their number, state, and wait channel in the
 * kernel (ps(1)). Empty if the system does not provide them.
 */
function threadStates(pid: number): string {
  const count = new Map<string, number>();
  try {
    const ps = new Deno.Command("ps", { args: ["-L", "-o", "stat=,wchan:30=", "-p", `${pid}`] });
    for (const line of new TextDecoder().decode(ps.outputSync().stdout).split("\n")) {
      const what = line.replace(/\s+/g, " ").trim();
      if (what === "") continue;
      count.set(what, (count.get(what) ?? 0) + 1);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return [...count].map(([what, number]) => `${number} ${what}`).join(", ");
}

function kill(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // it has ended
  }
}

/**
 * Sends SIGINT to a silent program, which both runners answer with the running tests, and kills it if it does not end.
 * Returns a function that records output, and one that stops the watch.
 */
function endWhenSilent(
  name: string,
  child: Deno.ChildProcess,
  print: (text: string) => void,
  { silence_ms, end_ms }: Waits,
): { onOutput: () => void; stop: () => void } {
  let timer: ReturnType<typeof setTimeout>;
  let isOver = false;
  const ask = () => {
    isOver = true;
    // `.ci/run` repeats the text after such a line.
    print(`\nFAIL  ${name} has said nothing for ${silence_ms / 1000} s and is ended by SIGINT\n`);
    const states = threadStates(child.pid);
    if (states !== "") print(`its threads: ${states}\n`);
    kill(child, "SIGINT");
    timer = setTimeout(() => {
      print(`FAIL  ${name} did not end by SIGINT and is killed\n`);
      kill(child, "SIGKILL");
    }, end_ms);
  };
  timer = setTimeout(ask, silence_ms);
  return {
    onOutput() {
      if (isOver) return;
      clearTimeout(timer);
      timer = setTimeout(ask, silence_ms);
    },
    /** Output of an ended program does not start another wait. */
    stop() {
      isOver = true;
      clearTimeout(timer);
    },
  };
}

/**
 * Runs a program without input to its end. A program that was ended because of its silence has not succeeded. Rejects
 * with `NotFound` if the program does not exist.
 */
export async function followTests(
  { name, command: [program = "", ...args], cwd = ROOT, ...options }: TestProgram,
  print: (text: string) => void,
  waits: Waits = WAITS,
): Promise<Followed> {
  const piped = { args, cwd, stdin: "null", stdout: "piped", ...options } as const;
  const child = new Deno.Command(program, piped).spawn();
  const silence = endWhenSilent(name, child, print, waits);
  let output = "";
  const show = (text: string) => {
    silence.onOutput();
    print(text);
  };
  const keep = (text: string) => {
    show(text);
    output += text;
  };
  const kept = child.stdout.getReader();
  const shown = options.stderr && child.stderr.getReader();
  const reads = [read(kept, keep)];
  if (shown !== undefined) reads.push(read(shown, show));
  const { success, signal } = await child.status;
  silence.stop();
  if (signal !== null) print(`\nFAIL  ${name} was ended by ${signal}\n`);
  const late = setTimeout(() => {
    print(`FAIL  ${name} has left processes behind, which hold its output\n`);
    kept.cancel();
    shown?.cancel();
  }, waits.end_ms);
  await Promise.all(reads);
  clearTimeout(late);
  return { output, success };
}
