/** Loggers for tests: one that records its lines, one that discards them, and one on stderr. */
import { createLogger, type Logger, type LoggerOptions } from "../logs/log.ts";

/** A logger, at debug level unless `options` have another one, and its recorded lines. */
export function keptLog(options: Partial<LoggerOptions> = {}): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line);
  const form = { level: "debug", format: "logfmt", component: "test", now: Date.now } as const;
  return { log: createLogger({ ...form, write, ...options }), lines };
}

/** A logger that discards its lines. */
export const QUIET: Logger = keptLog({ level: "error", write() {} }).log;

/** A logger from `level` on, on stderr, so that a failing test shows the logs of its parts. */
export const testLog = (level: "error" | "warn" = "error"): Logger =>
  keptLog({ level, write: (line) => console.error(line) }).log;
