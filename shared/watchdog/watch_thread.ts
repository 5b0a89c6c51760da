/**
 * The thread that watches the event loop of its process: if the loop hangs for too long, it logs a line and kills the
 * process. It waits for nothing that needs that loop, and only for a limited time for the reader of the log.
 */
import { createLogger, type LoggerOptions } from "../logs/log.ts";
import { STEP, stepName, TURNS } from "./steps.ts";

/** The message to the thread at its start, and again once the process has started. */
export interface Watched extends Pick<LoggerOptions, "format" | "component" | "fields"> {
  readonly memory: SharedArrayBuffer;
  /** How long the loop may hang, in ms. */
  readonly stall_ms: number;
  /** The file to which the line is appended; absent: stderr. */
  readonly log_file?: string | undefined;
  /** The check interval, in ms. */
  readonly look_ms: number;
}

/** How long the reader of the log is waited for, in ms. */
const WRITE_MS = 1_000;

let watched: Watched;
let seen = -1;
let stood_ms = 0;
let looked_ms = 0;
let looking: ReturnType<typeof setInterval> | undefined;

function look(): void {
  const now_ms = performance.now();
  const { memory, look_ms, stall_ms } = watched;
  // Excludes time in which this thread did not run either: the machine slept, or the process was stopped.
  const ran_ms = Math.min(now_ms - looked_ms, 2 * look_ms);
  looked_ms = now_ms;
  const words = new Int32Array(memory);
  const turns = Atomics.load(words, TURNS);
  stood_ms = turns === seen ? stood_ms + ran_ms : 0;
  seen = turns;
  if (stood_ms < stall_ms) return;
  clearInterval(looking);
  void end(stepName(Atomics.load(words, STEP)));
}

async function end(step: string): Promise<void> {
  const kill = () => Deno.kill(Deno.pid, "SIGKILL");
  setTimeout(kill, WRITE_MS);
  const lines: Promise<unknown>[] = [];
  const write = (line: string) => {
    const { log_file } = watched;
    lines.push(
      log_file === undefined
        ? Deno.stderr.write(new TextEncoder().encode(line))
        : Deno.writeTextFile(log_file, line, { append: true }),
    );
  };
  const log = createLogger({ ...watched, level: "error", now: Date.now, write });
  const text = "the event loop hangs: the process is killed, to be started again";
  log.error(text, { step, stood_ms: Math.round(stood_ms) });
  // It is killed whether or not the line could be written.
  await Promise.allSettled(lines);
  kill();
}

const thread = globalThis as unknown as { onmessage: (event: MessageEvent<Watched>) => void };
thread.onmessage = ({ data }) => {
  watched = data;
  looked_ms = performance.now();
  looking ??= setInterval(look, data.look_ms);
};
