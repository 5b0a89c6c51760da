/**
 * One Shield's slot: starts its process, learns when it serves, and restarts it after a pause when it has ended. It
 * uses no network; `operators.ts` does.
 */
import type { Env } from "../../shared/env.ts";
import { type ChildPorts, readChildPorts } from "./child_options.ts";

/** The exit code for a wrong configuration or wrong arguments, which fail at every start. */
const EXIT_USAGE = 2;
/** The longest line on stdout, in UTF-16 units. */
const LINE_UNITS = 1_024;

/** The parts of `Deno.ChildProcess` that a slot uses. */
export type ChildProcess = Pick<Deno.ChildProcess, "pid" | "stdin" | "stdout" | "status" | "kill">;

interface SlotOptions extends Pick<Env, "log" | "node_id" | "now"> {
  readonly index: number;
  /** Starts its process, with stdin and stdout piped. May throw. */
  readonly spawn: () => ChildProcess;
  readonly backoff: BackoffOptions;
  /** A random number in [0, 1). */
  readonly random: () => number;
  /** Called when the Shield can never start: it exited with code 2 before it served. */
  readonly onHopeless: () => void;
  /** Called when the Shield serves. */
  readonly onServing: () => void;
}

/** The state of a slot. `waiting`: its process is dead, and restarts after a pause. `ended`: it was stopped. */
export type SlotState = "starting" | "serving" | "waiting" | "ended";

/** One slot and its process. */
export class Slot {
  readonly index: number;
  readonly node_id: string;
  restarts = 0;
  #state: SlotState = "waiting";
  #ports: ChildPorts | undefined;
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();
  #failures = 0;
  #stopping = false;
  #is_clean = true;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #options: SlotOptions;

  constructor(options: SlotOptions) {
    this.#options = options;
    this.index = options.index;
    this.node_id = options.node_id;
  }

  get state(): SlotState {
    return this.#state;
  }

  /** The ports on which the Shield serves operators; undefined unless it is `serving`. */
  get ports(): ChildPorts | undefined {
    return this.#state === "serving" ? this.#ports : undefined;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  start(): void {
    this.#state = "starting";
    this.#ended = this.#run().catch((error) => {
      this.#options.log.error("a process cannot be started", { ...this.#fields(), error });
      this.#startLater(0);
    });
  }

  /** Sends a signal to the process, if there is one. */
  kill(signal: Deno.Signal): void {
    try {
      this.#child?.kill(signal);
    } catch {
      // The process has just ended.
    }
  }

  /**
   * Starts no further process, and drains the running one. Resolves when it has ended, with whether its exit code was
   * 0.
   */
  async stop(): Promise<boolean> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    this.kill("SIGTERM");
    await this.#ended;
    this.#state = "ended";
    return this.#is_clean;
  }

  async #run(): Promise<void> {
    const { now, log, spawn } = this.#options;
    const child = spawn();
    this.#child = child;
    let served_from_ms = Infinity;
    const read = this.#read(child, () => served_from_ms = now());
    const { code, signal } = await child.status;
    await read;
    // stdin stays open until now: if it ends, the Shield has lost its supervisor and drains.
    await child.stdin.close().catch(() => {});
    this.#child = undefined;
    const served = served_from_ms < Infinity;
    if (this.#stopping) {
      // Before it has served there are no clients, so any end is clean.
      this.#is_clean = code === 0 || !served;
      return;
    }
    log.error("a process has ended", {
      ...this.#fields(),
      pid: child.pid,
      code,
      signal: signal ?? undefined,
    });
    if (!served && code === EXIT_USAGE) return this.#options.onHopeless();
    this.#startLater(served ? now() - served_from_ms : 0);
  }

  #startLater(served_ms: number): void {
    if (this.#stopping) return;
    const { backoff, log, random } = this.#options;
    this.#state = "waiting";
    this.#failures = failuresAfter(this.#failures, served_ms, backoff);
    const pause_ms = pauseAfter(this.#failures, backoff, random);
    log.info("a process is restarted", { ...this.#fields(), pause_ms });
    this.#timer = setTimeout(() => {
      this.restarts++;
      this.start();
    }, pause_ms);
  }

  /** Reads stdout to its end. The first line with ports counts. */
  async #read(child: ChildProcess, onServing: () => void): Promise<void> {
    let text = "";
    let is_serving = false;
    try {
      for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
        if (is_serving) continue;
        text = (text + part).slice(-LINE_UNITS);
        const ports = text.split("\n").slice(0, -1).map(readChildPorts).find(Boolean);
        if (ports === undefined) continue;
        is_serving = true;
        this.#ports = ports;
        this.#state = "serving";
        onServing();
        this.#options.onServing();
      }
    } catch {
      // The pipe broke when the process ended; its status has the reason.
    }
  }

  #fields(): Record<string, unknown> {
    return { process: this.index, child_node_id: this.node_id };
  }
}

/** The pauses, which grow up to a maximum. */
export interface BackoffOptions {
  readonly first_ms: number;
  /** The longest pause, in ms. */
  readonly max_ms: number;
  /** If a process has served for this long, in ms, its end is not a failed start, and the first pause is used again. */
  readonly reset_ms: number;
}

/** The pauses of `shield --processes`. */
export const BACKOFF: BackoffOptions = { first_ms: 250, max_ms: 15_000, reset_ms: 30_000 };

/** The failures in a row, this one included, after a process has served for `served_ms` (0: never). */
export function failuresAfter(
  failures: number,
  served_ms: number,
  { reset_ms }: BackoffOptions,
): number {
  return served_ms >= reset_ms ? 1 : failures + 1;
}

/**
 * The pause after that many failures in a row, at least 1. It doubles with each, and half of it is
 * random, so that processes that died together do not start together. `random` is in [0, 1).
 */
export function pauseAfter(
  failures: number,
  { first_ms, max_ms }: BackoffOptions,
  random: () => number,
): number {
  const whole = Math.min(max_ms, first_ms * 2 ** Math.min(failures - 1, 30));
  return Math.round(whole / 2 + random() * whole / 2);
}
