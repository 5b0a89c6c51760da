/**
 * Reloads the configuration of a process on request, and remembers the outcome. An invalid file changes nothing. The
 * process decides how the file is read and who may ask.
 */
import type { Logger } from "../../logs/log.ts";
import { type Registry, scraped } from "../../metrics/metrics.ts";
import { type ConfigChanges, LiveConfig } from "./live_config.ts";
import type { Config } from "../schema.ts";

/** The configuration in force in a process, and the settings of its file that are not in force. */
export interface ConfigReport {
  /** The file; null: the process was started without one. */
  readonly file: string | null;
  /** When the file was last applied, in Unix ms. */
  readonly loaded_ms: number;
  readonly changed: readonly string[];
  /** The keys that differ in the file and need a restart. */
  readonly needs_restart: readonly string[];
  /** Why the last reload failed; null: it succeeded. */
  readonly problem: string | null;
  /** The live keys with a single value, and their values in force. */
  readonly values: Readonly<Record<string, string | number | boolean>>;
}

interface ReloadOptions {
  readonly started: Config;
  readonly file: string | null;
  /** Reads and checks the file as a start does; throws, or rejects with, an Error that describes the problem. */
  readonly read: () => Config | Promise<Config>;
  readonly log: Logger;
  /** Unix ms. */
  readonly now: () => number;
}

/** The reload as the components of a process see it. */
export interface ConfigReloading extends ConfigChanges {
  /**
   * Reloads the file and runs the readers of `onRead`; `by` names who asked. Never rejects. During a reload, one more
   * waits, whose outcome all get that ask meanwhile.
   */
  reload(by: string): Promise<ConfigReport>;
  /**
   * Calls `read` after each reload, for files that the configuration names: it resolves with the keys of the changed
   * files, which are in force then, and rejects with the problem.
   */
  onRead(read: () => Promise<readonly string[]>): void;
  report(): ConfigReport;
}

/** The configuration of one process and its file. */
export class ConfigReload implements ConfigReloading {
  /** The object that all components share. */
  readonly config: Config;
  readonly #live: LiveConfig;
  readonly #options: ReloadOptions;
  readonly #readers: (() => Promise<readonly string[]>)[] = [];
  readonly #totals = { ok: 0, refused: 0 };
  #running: Promise<ConfigReport> | undefined;
  #waiting: Promise<ConfigReport> | undefined;
  #last: Pick<ConfigReport, "changed" | "needs_restart" | "problem" | "loaded_ms">;

  constructor(options: ReloadOptions) {
    this.#options = options;
    this.#live = new LiveConfig(options.started);
    this.config = this.#live.config;
    this.#last = { loaded_ms: options.now(), changed: [], needs_restart: [], problem: null };
  }

  readonly follow: ConfigChanges["follow"] = (...change) => this.#live.follow(...change);

  onRead(read: () => Promise<readonly string[]>): void {
    this.#readers.push(read);
  }

  report(): ConfigReport {
    return { file: this.#options.file, ...this.#last, values: this.#live.inForce() };
  }

  reload(by: string): Promise<ConfigReport> {
    if (this.#waiting !== undefined) return this.#waiting;
    if (this.#running === undefined) return this.#begin(by);
    return this.#waiting = this.#running.then(() => {
      this.#waiting = undefined;
      return this.#begin(by);
    });
  }

  #begin(by: string): Promise<ConfigReport> {
    return this.#running = this.#reload(by).finally(() => {
      this.#running = undefined;
    });
  }

  async #reload(by: string): Promise<ConfigReport> {
    const { read, log, now, file } = this.#options;
    let changed: readonly string[] = [];
    let what = "the configuration cannot be used; the one before stays in force";
    try {
      const next = await read();
      const prepared = await this.#live.prepare(next);
      const { needs_restart, ...keys } = this.#live.change(next, prepared);
      changed = keys.changed;
      what = "a file of the configuration cannot be used; what was in it before stays in force";
      this.#last = { loaded_ms: now(), changed, needs_restart, problem: null };
      const files = await Promise.all(this.#readers.map((reader) => reader()));
      changed = [...changed, ...files.flat()];
      this.#last = { ...this.#last, changed };
      this.#totals.ok++;
      log.info("the configuration was read again", { by, file, changed: changed.join(" ") });
      if (needs_restart.length > 0) {
        log.warn("keys of the configuration need a restart", { keys: needs_restart.join(" ") });
      }
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      this.#last = { ...this.#last, changed, problem };
      this.#totals.refused++;
      log.error(what, { by, file, problem });
    }
    return this.report();
  }

  /** Registers metrics: reloads, and keys that need a restart. */
  register(registry: Registry): void {
    scraped(registry, {
      "arqon_config_reloads_total": [
        "Times the configuration was read again, by outcome.",
        "result",
        () => this.#totals,
      ],
      "arqon_config_restart_keys": [
        "Keys of the configuration that differ from what is in force and need a restart.",
        () => this.#last.needs_restart.length,
      ],
    });
  }
}
