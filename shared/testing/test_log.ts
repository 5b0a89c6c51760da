/** What parts under test log: errors go to stderr, so that a test that fails shows them. */
import { createLogger, type Logger } from "../logs/log.ts";

/** A log from `level` on, by the clock of the machine. */
export const testLog = (level: "error" | "warn" = "error"): Logger =>
  createLogger({
    ...{ level, format: "logfmt", component: "test", now: Date.now },
    write: (line) => console.error(line),
  });
