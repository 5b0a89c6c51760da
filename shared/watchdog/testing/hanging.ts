/**
 * A process with a watchdog, for `watchdog_test.ts`. It prints "ready" on stdout, hangs for the time in its argument,
 * prints "alive", and ends with its stdin.
 */
import { configFrom } from "../../config/load.ts";
import { createLogger } from "../../logs/log.ts";
import { writeStderr } from "../../process/process.ts";
import { AT, step } from "../steps.ts";
import { startWatchdog } from "../watchdog.ts";

/** The behaviour of such a process. */
export interface Hanging {
  readonly stall_ms: number;
  /** How long its loop hangs, in ms; absent: not at all. */
  readonly hang_ms?: number;
  /** Whether it hangs before it has started. */
  readonly while_starting?: boolean;
  /** Bytes that it logs before. */
  readonly log_bytes?: number;
}

const { stall_ms, hang_ms = 0, while_starting = false, log_bytes = 0 }: Hanging = JSON.parse(
  Deno.args[0] ?? "{}",
);
const config = configFrom({ watchdog: { stall_ms }, log: { format: "json" } });
const about = { level: "info", format: "json", component: "shield" } as const;
const log = createLogger({ ...about, now: Date.now, write: writeStderr });
const watchdog = startWatchdog({ config, node_id: "one", component: "shield", log });
if (!while_starting) watchdog?.started();
for (let bytes = 0; bytes < log_bytes; bytes += 1_000) log.info("x".repeat(1_000));
console.log("ready");
setTimeout(() => {
  step(AT.journal);
  const end_ms = performance.now() + hang_ms;
  while (performance.now() < end_ms);
  console.log("alive");
}, 10);
await Deno.stdin.readable.pipeTo(new WritableStream());
watchdog?.[Symbol.dispose]();
