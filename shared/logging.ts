/**
 * The logs of one process: a logger for each component, levels that change while it runs, and a
 * bound on floods of one text. Lines themselves: `log.ts`. No timer and no file of its own.
 */
import { createLogger, SEVERITY } from "./log.ts";
import type { Logger, LoggerOptions, LogLevel } from "./log.ts";
import type { Registry } from "./metrics.ts";
import { scrapedCounter, scrapedFamily } from "./metrics_plain.ts";

/** What `[log]` says. */
export interface LoggingOptions extends Pick<LoggerOptions, "level" | "format" | "now" | "write"> {
  readonly levels: readonly { readonly component: string; readonly level: LogLevel }[];
  /** Lines a second of one component with one text. */
  readonly lines_per_second: number;
}

/** Levels as they are now. */
export interface LogLevels {
  /** Of every component that has none of its own. */
  readonly level: LogLevel;
  /** Components with a level of their own. */
  readonly levels: Readonly<Record<string, LogLevel>>;
  /** Those that have written, or been asked for a logger. */
  readonly components: readonly string[];
}

/** The logs of a process. */
export interface Logging {
  /** A logger whose level and floods are watched over here. */
  of(component: string): Logger;
  levels(): LogLevels;
  /**
   * From the next line on. `undefined` takes a component's own level away. False when no component
   * has that name.
   */
  setLevel(component: string, level: LogLevel | undefined): boolean;
  /** Says what is still untold of floods: at the end of the process. */
  close(): void;
  /** `arqon_log_lines_total` and `arqon_log_left_out_total`. */
  register(registry: Registry): void;
}

/** Texts whose rates are kept apart; those beyond share one rate for each component. */
const TEXTS_MAX = 1_024;
const WINDOW_MS = 1_000;

interface Flood {
  readonly component: string;
  readonly text: string;
  since_ms: number;
  lines: number;
  left_out: number;
}

/** How many lines of one text a component may write in a second. */
class Floods {
  readonly #lines_max: number;
  readonly #onOver: (flood: Flood) => void;
  readonly #floods = new Map<string, Flood>();
  #swept_ms = 0;

  /** `onOver` hears of each text of which lines were left out, once a second. */
  constructor(lines_max: number, onOver: (flood: Flood) => void) {
    this.#lines_max = lines_max;
    this.#onOver = onOver;
  }

  /** Whether one more line may be written. */
  admits(component: string, text: string, now_ms: number): boolean {
    this.#sweep(now_ms);
    const flood = this.#of(component, text, now_ms);
    if (++flood.lines <= this.#lines_max) return true;
    flood.left_out++;
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
      { component, text: is_full ? "" : text, since_ms: now_ms, lines: 0, left_out: 0 };
    this.#floods.set(shared_key, flood);
    return flood;
  }

  /** By whatever line comes next, so that a flood that has ended is told of too. */
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

/** The logs of this process as `[log]` wants them. */
export function createLogging(options: LoggingOptions): Logging {
  const own = new Map<string, LogLevel>(
    options.levels.map(({ component, level }) => [component, level]),
  );
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
  const admits = (component: string, level: LogLevel, text: string): boolean => {
    if (SEVERITY[level] < SEVERITY[own.get(component) ?? options.level]) return false;
    const admitted = floods.admits(component, text, options.now());
    if (admitted) lines[level]++;
    else left_out++;
    return admitted;
  };
  return {
    of(component) {
      const known = loggers.get(component);
      if (known !== undefined) return known;
      const asked = (level: LogLevel, text: string) => admits(component, level, text);
      const logger = createLogger({ ...options, component, admits: asked });
      loggers.set(component, logger);
      return logger;
    },
    levels: () => ({
      level: options.level,
      levels: Object.fromEntries(own),
      components: [...loggers.keys()].sort(),
    }),
    setLevel(component, level) {
      if (!loggers.has(component)) return false;
      if (level === undefined) own.delete(component);
      else own.set(component, level);
      return true;
    },
    close: () => floods.end(),
    register: (registry) => registerLines(registry, () => lines, () => left_out),
  };
}

function registerLines(
  registry: Registry,
  lines: () => Readonly<Record<LogLevel, number>>,
  left_out: () => number,
): void {
  scrapedFamily(registry, "arqon_log_lines_total", "Log lines written, by level.", "level", lines);
  scrapedCounter(
    registry,
    "arqon_log_left_out_total",
    "Log lines left out because too many with their text came in one second.",
    left_out,
  );
}
