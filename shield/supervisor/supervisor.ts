/**
 * `shield --processes N`: N Shields on one client port, restarted when they die, stopped together. `operators.ts`
 * answers operators.
 */
import { Gauge, type Registry } from "prom-client";
import type { Env } from "../../shared/env.ts";
import { scrapedCounters } from "../../shared/metrics/metrics_plain.ts";
import type { ChildOptions } from "./child_options.ts";
import { BACKOFF, type BackoffOptions, type ChildProcess, Slot } from "./slot.ts";

const PROCESSES_MAX = 64;
/** After `drain_timeout_ms`: how long a Shield may take to end before it is killed. */
const KILL_MS = 5_000;

/** How many Shields run, and how one is started. */
interface SupervisorOptions extends Pick<Env, "registry" | "log"> {
  readonly processes: number;
  /** The id of the node; the Shields add `-0`, `-1`, … */
  readonly node_id: string;
  readonly port: number;
  /** Starts one Shield, with stdin and stdout piped. */
  readonly spawn: (child: ChildOptions) => ChildProcess;
  readonly drain_timeout_ms: number;
  /** Monotonic ms. */
  readonly now: () => number;
  readonly backoff?: BackoffOptions;
  /** For the jitter of its pauses, in [0, 1); absent: `Math.random`. */
  readonly random?: () => number;
}

/** The running Shields. */
export interface Supervisor {
  readonly slots: readonly Slot[];
  start(): void;
  /** Resolves when all have served once. */
  readonly ready: Promise<void>;
  /** Resolves when a Shield can never start: its arguments or configuration are wrong. */
  readonly hopeless: Promise<void>;
  /** Drains all, and kills those that do not end in time. Resolves with true if all ended with 0. */
  stop(): Promise<boolean>;
  /** Makes the serving Shields read their configuration again. */
  reload(): void;
  /** Ends all processes at once. */
  kill(): void;
}

/** Parses the value of `--processes`. Throws TypeError for an invalid number. */
export function readProcesses(text: string): number {
  const count = /^[0-9]{1,4}$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= PROCESSES_MAX) return count;
  throw new TypeError(`--processes ${text}: expected a number from 1 to ${PROCESSES_MAX}`);
}

/** Creates a supervisor. It starts nothing yet. */
export function supervise(options: SupervisorOptions): Supervisor {
  const { processes, node_id, port, log } = options;
  const ready = Promise.withResolvers<void>();
  const hopeless = Promise.withResolvers<void>();
  const served = new Set<number>();
  const slots = Array.from({ length: processes }, (_, index) => {
    const child: ChildOptions = { index, processes, node_id: `${node_id}-${index}`, port };
    return new Slot({
      index,
      node_id: child.node_id,
      spawn: () => options.spawn(child),
      backoff: options.backoff ?? BACKOFF,
      random: options.random ?? Math.random,
      now: options.now,
      log,
      onHopeless: hopeless.resolve,
      onServing() {
        if (served.add(index).size === processes) ready.resolve();
      },
    });
  });
  registerMetrics(options.registry, slots);
  const kill = () => slots.forEach((slot) => slot.kill("SIGKILL"));
  return {
    slots,
    start: () => slots.forEach((slot) => slot.start()),
    ready: ready.promise,
    hopeless: hopeless.promise,
    async stop() {
      const timer = setTimeout(() => {
        log.error("processes that did not end in time are killed");
        kill();
      }, options.drain_timeout_ms + KILL_MS);
      const clean = await Promise.all(slots.map((slot) => slot.stop()));
      clearTimeout(timer);
      return clean.every(Boolean);
    },
    reload() {
      for (const slot of slots) if (slot.state === "serving") slot.kill("SIGHUP");
    },
    kill,
  };
}

function registerMetrics(registry: Registry, slots: readonly Slot[]): void {
  const registers = [registry];
  new Gauge({
    name: "shield_process_serving",
    help: "1 while this process of the node is serving.",
    labelNames: ["index"],
    registers,
    collect() {
      for (const { index, state } of slots) this.set({ index }, Number(state === "serving"));
    },
  });
  scrapedCounters(
    registry,
    "shield_process_restarts_total",
    "Restarts of this process of the node.",
    ["index"],
    () => slots.map(({ index, restarts }) => [{ index: String(index) }, restarts]),
  );
}
