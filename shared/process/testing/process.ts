/**
 * A program for `process_test.ts` that only uses `process.ts`. It reports its progress on stdout; on a stop signal it
 * begins a drain that never ends.
 */
import { createLogger } from "../../logs/log.ts";
import {
  configArgument,
  loadConfigFile,
  logUnhandled,
  stopSignal,
  tlsFiles,
  writeStderr,
} from "../process.ts";

const PROGRAM = "probe";

const file = configArgument({ program: PROGRAM, help: "Usage: probe", version: "1.2.3" });
const config = loadConfigFile(PROGRAM, file, { ops_port: 4_321 });
const log = createLogger({
  level: "info",
  format: "logfmt",
  component: PROGRAM,
  now: Date.now,
  write: writeStderr,
});
logUnhandled(log);
Promise.reject(new Error("nobody waits for this"));
const stopping = stopSignal(PROGRAM, log);
console.log(`ready ${config.ops.port} ${tlsFiles(config)?.cert ?? "plain"}`);
setInterval(() => {}, 60_000);
console.log(`draining after ${await stopping}`);
