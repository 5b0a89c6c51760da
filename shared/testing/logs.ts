/** Loggers of tests: one whose lines are kept, one that nobody reads, and one on stderr. */
import { createLogger } from "../logs/log.ts";
import type { Logger, LoggerOptions } from "../logs/log.ts";

/** A logger, in debug level unless `options` say otherwise, and where its lines go. */
export function keptLog(options: Partial<LoggerOptions> = {}): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line);
  const form = { level: "debug", format: "logfmt", component: "test", now: Date.now } as const;
  return { log: createLogger({ ...form, write, ...options }), lines };
}

/** A logger whose lines nobody reads. */
export const QUIET: Logger = keptLog({ level: "error", write() {} }).log;

/** A logger from `level` on, on stderr, so that a test that fails shows what its parts logged. */
export const testLog = (level: "error" | "warn" = "error"): Logger =>
  keptLog({ level, write: (line) => console.error(line) }).log;
