/**
 * Structured logging as logfmt or JSON, one line a record. Pure: clock and sink are arguments. It is not an audit log,
 * and callers must not log tokens.
 */

/** Levels of lines; the least severe first. */
export type LogLevel = "debug" | "info" | "warn" | "error";
/** The form of a line; JSON for collectors, logfmt for people. */
export type LogFormat = "logfmt" | "json";
/**
 * The fields of a line: values of any type; `undefined` omits the field. The tenant's id is `tenant_id` in every
 * component, so that one name finds all lines of a tenant.
 */
export interface LogFields {
  readonly [name: string]: unknown;
  readonly tenant?: never;
}

/** Writes one line a call if the level permits. Accepts values of any type without throwing. */
export interface Logger {
  debug(msg: string, fields?: LogFields): void;
  info(msg: string, fields?: LogFields): void;
  warn(msg: string, fields?: LogFields): void;
  error(msg: string, fields?: LogFields): void;
  /** As `info`, for sampled lines, which are dropped silently above the rate limit. True if it was written. */
  sample(msg: string, fields?: LogFields): boolean;
  /** A logger that adds these fields to every line; a field of the line itself wins. */
  child(fields: LogFields): Logger;
}

/** The options of a logger. */
export interface LoggerOptions {
  /** The lowest level that is written. */
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** The process or component: "shield", "brain", "spine". */
  readonly component: string;
  /** Unix ms. */
  readonly now: () => number;
  /** Writes one line with its newline; must not throw or block. False: the line was dropped. */
  readonly write: (line: string) => unknown;
  /**
   * Decides for each line, instead of `level`, whether it is written. `is_sample`: a sampled line; `tenant_id`: its
   * tenant, if it names one.
   */
  readonly admits?: (
    level: LogLevel,
    msg: string,
    is_sample: boolean,
    tenant_id: unknown,
  ) => boolean;
  /** Fields of every line; a field of the line itself wins. */
  readonly fields?: LogFields;
}

/** The severity of each level; the greater, the more severe. */
export const SEVERITY: Readonly<Record<LogLevel, number>> = {
  debug: 0,
  info: 1,
  warn: 2,
  error: 3,
};
/** Longest value in UTF-16 units; the rest is cut and marked with "…". */
const VALUE_UNITS = 1_024;
const MAX_FIELDS = 64;
const RESERVED = new Set(["level", "component", "msg", "ts"]);
// Control characters, and characters that some terminals and readers treat as a line break or a change of direction:
// none may reach a log unescaped.
// deno-lint-ignore no-control-regex
const UNSAFE = /[\u0000-\u001f"\\\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;
const BARE = /^[\x21\x23-\x3c\x3e-\x5b\x5d-\x7e]+$/;

function escape(character: string): string {
  if (character === '"' || character === "\\") return `\\${character}`;
  if (character === "\n") return "\\n";
  if (character === "\r") return "\\r";
  if (character === "\t") return "\\t";
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

function bounded(text: string): string {
  const cut = text.length <= VALUE_UNITS ? text : text.slice(0, VALUE_UNITS) + "…";
  return cut.toWellFormed();
}

function errorText(error: Error): string {
  const stack = (it: Error) => it.stack ?? `${it.name}: ${it.message}`;
  const reason = "reason" in error ? String(error.reason) : undefined;
  const text = reason === undefined ? stack(error) : `${reason}: ${error.message}`;
  if (!(error.cause instanceof Error)) return text;
  // An internal error has no information itself: the stack of its cause helps.
  const cause = reason === "internal" ? stack(error.cause) : error.cause.message;
  return `${text}; caused by ${cause}`;
}

function bytesText(bytes: Uint8Array): string {
  const shown = bytes.subarray(0, VALUE_UNITS / 4).toHex();
  return bytes.length * 2 > shown.length ? `${shown}…(${bytes.length} bytes)` : shown;
}

function jsonText(value: unknown): string {
  try {
    return JSON.stringify(value, (_, item) => typeof item === "bigint" ? String(item) : item) ??
      String(value);
  } catch {
    return "[unprintable]";
  }
}

/** Numbers and booleans unchanged (JSON keeps their type), everything else as bounded text. */
function plain(value: unknown): string | number | boolean | null {
  if (value === null || typeof value === "boolean") return value;
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
  if (typeof value === "string") return bounded(value);
  if (typeof value === "bigint") return String(value);
  if (value instanceof Error) return bounded(errorText(value));
  if (value instanceof Uint8Array) return bytesText(value);
  return bounded(jsonText(value));
}

function fieldName(name: string): string {
  const safe = name.slice(0, 64).replace(/[^A-Za-z0-9_.-]/g, "_") || "_";
  return RESERVED.has(safe) ? `${safe}_` : safe;
}

function plainFields(fields: LogFields): Map<string, string | number | boolean | null> {
  const all = new Map<string, string | number | boolean | null>();
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    if (all.size >= MAX_FIELDS) break;
    all.set(fieldName(name), plain(value));
  }
  return all;
}

/** A value of a logfmt pair: unquoted if it is plain ASCII, otherwise in quotes with escapes. */
function logfmtValue(value: string | number | boolean | null): string {
  const text = String(value);
  return BARE.test(text) ? text : `"${text.replace(UNSAFE, escape)}"`;
}

interface LogRecord {
  readonly level: LogLevel;
  readonly component: string;
  readonly fields: LogFields;
  readonly msg: string;
  readonly time_ms: number;
}

function logfmtLine(entry: LogRecord): string {
  let line = `level=${entry.level} component=${logfmtValue(bounded(entry.component))}`;
  for (const [name, value] of plainFields(entry.fields)) line += ` ${name}=${logfmtValue(value)}`;
  const msg = `"${bounded(entry.msg).replace(UNSAFE, escape)}"`;
  return `${line} msg=${msg} ts=${new Date(entry.time_ms).toISOString()}\n`;
}

function jsonLine(entry: LogRecord): string {
  const quote = (text: string) =>
    JSON.stringify(text).replace(
      /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
      escape,
    );
  const ts = new Date(entry.time_ms).toISOString();
  let line = `{"ts":"${ts}","level":"${entry.level}","component":${
    quote(bounded(entry.component))
  }`;
  for (const [name, value] of plainFields(entry.fields)) {
    line += `,"${name}":${typeof value === "string" ? quote(value) : String(value)}`;
  }
  return `${line},"msg":${quote(bounded(entry.msg))}}\n`;
}

/** A logger that writes at `level` and above. A line below it costs one comparison. */
export function createLogger(options: LoggerOptions): Logger {
  const { admits } = options;
  const least = SEVERITY[options.level];
  const render = options.format === "json" ? jsonLine : logfmtLine;
  const withFields = (base: LogFields): Logger => {
    const at = (level: LogLevel, is_sample = false) => {
      if (admits === undefined && SEVERITY[level] < least) return () => false;
      return (msg: string, fields?: LogFields) => {
        const tenant_id = fields?.["tenant_id"] ?? base["tenant_id"];
        if (admits?.(level, msg, is_sample, tenant_id) === false) return false;
        options.write(render({
          level,
          component: options.component,
          fields: fields === undefined ? base : { ...base, ...fields },
          msg,
          time_ms: options.now(),
        }));
        return true;
      };
    };
    return {
      debug: at("debug"),
      info: at("info"),
      warn: at("warn"),
      error: at("error"),
      sample: at("info", true),
      child: (fields) => withFields({ ...base, ...fields }),
    };
  };
  return withFields(options.fields ?? {});
}
