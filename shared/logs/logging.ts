/**
 * The logs of one process: a logger for each component, levels that can change at run time, and a rate limit for each
 * text. `log.ts` formats lines. It has no timer and no file.
 */
import { scraped } from "../metrics/metrics.ts";
import { createLogger, type Logger, type LoggerOptions, type LogLevel, SEVERITY } from "./log.ts";
import type { Registry } from "../metrics/metrics.ts";

/** The settings of `[log]`. */
export interface LoggingOptions extends Pick<LoggerOptions, "level" | "format" | "now" | "write"> {
  /** Rate limit in lines a second for one text of one component. */
  readonly lines_per_second: number;
  /**
   * The id of this process, in every line of JSON, because its reader gets the lines of many processes. The reader of
   * logfmt watches one process.
   */
  readonly node_id: string;
}

interface LogLevels {
  /** The default level. */
  readonly level: LogLevel;
  readonly levels: Readonly<Record<string, LogLevel>>;
  readonly components: readonly string[];
}

/** The logs of a process. */
export interface Logging {
  of(component: string): Logger;
  levels(): LogLevels;
  /**
   * Sets the level of a component, from the next line on; `undefined` removes its own level. False if the component is
   * unknown.
   */
  setLevel(component: string, level: LogLevel | undefined): boolean;
  /** Applies new settings of `[log]`; levels of single components are reset. */
  renew(settings: Pick<LoggingOptions, "level" | "lines_per_second">): void;
  /** Call it at the end of the process: logs the counts of dropped lines that are not reported yet. */
  close(): void;
  /** Registers `arqon_log_lines_total`, `arqon_log_left_out_total` and `arqon_log_dropped_total`. */
  register(registry: Registry): void;
}

/** The most texts with their own rate; further ones share one rate for each component. */
const TEXTS_MAX = 1_024;
const WINDOW_MS = 1_000;

interface Flood {
  readonly component: string;
  readonly text: string;
  since_ms: number;
  lines: number;
  left_out: number;
  /** Tenants with a line in this second, up to the limit of lines. */
  readonly tenants: Set<unknown>;
}

interface AskedLine {
  readonly component: string;
  readonly text: string;
  readonly is_sample: boolean;
  /** Undefined: the line names none. */
  readonly tenant_id: unknown;
}

class Floods {
  /** Lines of one text in a second. */
  lines_max: number;
  readonly #onOver: (flood: Flood) => void;
  readonly #floods = new Map<string, Flood>();
  #swept_ms = 0;

  /** `onOver` is called once a second for each text with dropped lines. */
  constructor(lines_max: number, onOver: (flood: Flood) => void) {
    this.lines_max = lines_max;
    this.#onOver = onOver;
  }

  /**
   * Whether another line of the text may be written; the first one of a tenant may beside the flood of others. Omitted
   * lines of a sample are not reported.
   */
  admits(
    { component, text, is_sample, tenant_id }: AskedLine,
    now_ms: number,
  ): boolean {
    this.#sweep(now_ms);
    const flood = this.#of(component, text, now_ms);
    const { tenants } = flood;
    const is_first = tenant_id !== undefined && !is_sample && tenants.size < this.lines_max &&
      !tenants.has(tenant_id);
    if (is_first) tenants.add(tenant_id);
    if (++flood.lines <= this.lines_max || is_first) return true;
    if (!is_sample) flood.left_out++;
    return false;
  }

  end(): void {
    for (const flood of this.#floods.values()) if (flood.left_out > 0) this.#onOver(flood);
    this.#floods.clear();
  }

  #of(component: string, text: string, now_ms: number): Flood {
    const key = `${component} ${text}`;
    const known = this.#floods.get(key);
    if (known !== undefined) return known;
    const is_full = this.#floods.size >= TEXTS_MAX;
    const shared_key = is_full ? `${component} ` : key;
    const flood = this.#floods.get(shared_key) ??
      {
        component,
        text: is_full ? "" : text,
        since_ms: now_ms,
        lines: 0,
        left_out: 0,
        tenants: new Set(),
      };
    this.#floods.set(shared_key, flood);
    return flood;
  }

  /** Reports floods at any next line, so that an ended one is reported, too. */
  #sweep(now_ms: number): void {
    if (now_ms - this.#swept_ms < WINDOW_MS && now_ms >= this.#swept_ms) return;
    this.#swept_ms = now_ms;
    for (const [key, flood] of this.#floods) {
      if (now_ms - flood.since_ms < WINDOW_MS && now_ms >= flood.since_ms) continue;
      this.#floods.delete(key);
      if (flood.left_out > 0) this.#onOver(flood);
    }
  }
}

/** Writes as `options` do, and reports the number of dropped lines before the next line that fits. */
function countingDropped(options: Omit<LoggerOptions, "component">) {
  let dropped = 0;
  let reported = 0;
  const tell = (text: string) => options.write(text) !== false && (reported = dropped);
  const log = createLogger({ ...options, level: "warn", component: "log", write: tell });
  const write = (line: string) => {
    const count = dropped - reported;
    if (count > 0) log.warn("lines dropped: the reader of the log is too slow", { count });
    // Without room for this line, there is none for the next.
    if (reported !== dropped || options.write(line) === false) dropped++;
  };
  return { write, dropped: () => dropped };
}

/** Creates the logs of this process from `[log]`. */
export function createLogging(given: LoggingOptions): Logging {
  const { node_id, format } = given;
  const fields = format === "json" ? { node_id } : {};
  const { write, dropped } = countingDropped({ ...given, fields });
  const options = { ...given, fields, write };
  const own = new Map<string, LogLevel>();
  let { level: common } = options;
  const loggers = new Map<string, Logger>();
  const lines: Record<LogLevel, number> = { debug: 0, info: 0, warn: 0, error: 0 };
  let left_out = 0;
  const floods = new Floods(options.lines_per_second, (flood) => {
    const { component, text, left_out: count } = flood;
    const since = new Date(flood.since_ms).toISOString();
    createLogger({ ...options, level: "warn", component }).warn("lines left out", {
      text,
      count,
      since,
    });
  });
  const admits = (level: LogLevel, line: AskedLine) => {
    if (SEVERITY[level] < SEVERITY[own.get(line.component) ?? common]) return false;
    const admitted = floods.admits(line, options.now());
    if (admitted) lines[level]++;
    else if (!line.is_sample) left_out++;
    return admitted;
  };
  return {
    of(component) {
      return loggers.getOrInsertComputed(component, () =>
        createLogger({
          ...options,
          component,
          admits: (level, text, is_sample, tenant_id) =>
            admits(level, { component, text, is_sample, tenant_id }),
        }));
    },
    levels: () => ({
      level: common,
      levels: Object.fromEntries(own),
      components: [...loggers.keys()].sort(),
    }),
    setLevel(component, level) {
      if (!loggers.has(component)) return false;
      if (level === undefined) own.delete(component);
      else own.set(component, level);
      return true;
    },
    renew({ level, lines_per_second }) {
      common = level;
      own.clear();
      floods.lines_max = lines_per_second;
    },
    close: () => floods.end(),
    register: (registry) => registerLines(registry, () => lines, () => left_out, dropped),
  };
}

function registerLines(
  registry: Registry,
  lines: () => Readonly<Record<LogLevel, number>>,
  left_out: () => number,
  dropped: () => number,
): void {
  scraped(registry, {
    "arqon_log_lines_total": ["Log lines written, by level.", "level", lines],
    "arqon_log_left_out_total": [
      "Log lines omitted because too many with the same text were written in one second.",
      left_out,
    ],
    "arqon_log_dropped_total": [
      "Log lines dropped because the reader of the log was too slow.",
      dropped,
    ],
  });
}
