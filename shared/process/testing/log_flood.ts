/**
 * A program for `process_test.ts` that logs more than the pipe of its log and its own queue hold. It reports its
 * progress on stdout; at the end of its stdin it logs a last line, with the number of attempts.
 */
import { createLogging } from "../../logs/logging.ts";
import { Registry } from "../../metrics/metrics.ts";
import { flushStderr, writeStderr } from "../process.ts";

const LINES = 40_000;
const logging = createLogging({
  level: "info",
  format: "logfmt",
  lines_per_second: 1_000_000,
  node_id: "flood",
  now: Date.now,
  write: writeStderr,
});
const registry = new Registry();
logging.register(registry);
const dropped = async () =>
  Number(/^arqon_log_dropped_total (\d+)$/m.exec(await registry.metrics())?.[1]);
const log = logging.of("flood");
for (let number = 0; number < LINES; number++) {
  log.info("one of many", { number, fill: "x".repeat(60) });
}
console.log("written");
await Deno.stdin.readable.pipeTo(new WritableStream());
let tries = 0;
for (let before = -1; before < await dropped(); tries++) {
  before = await dropped();
  log.info("the last");
  await flushStderr();
}
console.log(`lines ${LINES + tries} dropped ${await dropped()}\nend`);
await flushStderr();
Deno.exit(0);
