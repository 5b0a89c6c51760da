/**
 * A schedule: a world, and its events with their times. Plain data, so that it can be printed, shrunk and replayed.
 * `generate.ts` creates them, `world.ts` runs them.
 */
import type { Config } from "../../shared/config/schema.ts";

/** An action of a user or an operator, or a fault of a process. Durations in simulated ms. */
export type Action =
  /** SUB with presence (only as a watcher if `observer`); repeated: new meta. Connects if necessary. */
  | { kind: "join"; client: number; room: number; meta: string; observer: boolean }
  /** UNSUB. */
  | { kind: "leave"; client: number; room: number }
  /** Close 1000; with `back_after_ms` 0 it stays disconnected until its next join. */
  | { kind: "close"; client: number; back_after_ms: number }
  /** The TCP connection is lost; the client joins its rooms again, through `shield` if that runs. */
  | { kind: "lose"; client: number; back_after_ms: number; shield: number }
  /** Clients of this action only join one room in the same millisecond, and leave after `stay_ms` (0: never). */
  | { kind: "storm"; shield: number; tenant: number; room: number; count: number; stay_ms: number }
  /** SIGKILL. Restarts with its clock moved by `clock_shift_ms`; never if `for_ms` is 0. */
  | { kind: "crash"; process: string; for_ms: number; clock_shift_ms: number }
  /** SIGTERM, and a new start `for_ms` later; none if that is 0. */
  | { kind: "restart"; process: string; for_ms: number }
  /** SIGSTOP and SIGCONT: nothing runs, messages and timers wait. */
  | { kind: "pause"; process: string; for_ms: number }
  /** No messages between two processes (from `one` to `other` only, unless `both`). */
  | { kind: "cut"; one: string; other: string; both: boolean; for_ms: number }
  /** No messages to and from the process, which does not know it. */
  | { kind: "isolate"; process: string; for_ms: number }
  /** It loses its Spine connection, and knows it after `noticed_ms` unless it has reconnected by then. */
  | { kind: "detach"; process: string; for_ms: number; noticed_ms: number }
  /** Its clock is set, forward or back. */
  | { kind: "clock"; process: string; by_ms: number }
  /** The network conditions of all messages from now on. */
  | { kind: "weather"; weather: Weather; for_ms: number };

/** Network conditions. */
export interface Weather {
  /** Share of messages lost, 0 to 1. */
  readonly loss: number;
  /** Share of messages that are duplicated. */
  readonly duplicate: number;
  /** The longest delay; each message has a random one. */
  readonly delay_ms: number;
  /** Messages of one link may be reordered. */
  readonly reorder: boolean;
}

/** An action and its time. */
export interface Timed {
  readonly at_ms: number;
  readonly action: Action;
}

/** A whole world and its events. */
export interface Schedule {
  readonly seed: number;
  /** Without faults: processes only stop and start orderly. Then no deviation is allowed. */
  readonly orderly: boolean;
  readonly shields: number;
  readonly brains: number;
  readonly tenants: number;
  /** Rooms of each tenant; all tenants use the same names. */
  readonly rooms: number;
  readonly config_name: string;
  readonly config: Config["presence"];
  /** Messages are encoded and decoded. */
  readonly wire: boolean;
  /** Messages are frozen: changing one afterwards throws. */
  readonly frozen: boolean;
  /** Process → its clock's offset. */
  readonly skew_ms: Readonly<Record<string, number>>;
  /** From then on there are no faults and no client actions. */
  readonly quiet_ms: number;
  readonly actions: readonly Timed[];
}

/** No loss, in order, a few ms. */
export const FAIR: Weather = { loss: 0, duplicate: 0, delay_ms: 3, reorder: false };

/** `s0`, `s1` and so on. */
export function shieldIds(schedule: Pick<Schedule, "shields">): string[] {
  return Array.from({ length: schedule.shields }, (_, index) => `s${index}`);
}

/** `b0`, `b1` and so on. */
export function brainIds(schedule: Pick<Schedule, "brains">): string[] {
  return Array.from({ length: schedule.brains }, (_, index) => `b${index}`);
}

function words(value: unknown): string {
  if (typeof value !== "object" || value === null) return String(value);
  return Object.entries(value).map(([key, inner]) => `${key}=${words(inner)}`).join(" ");
}

/** One line per timed action, for people. */
export function describe(schedule: Schedule): string {
  const { seed, orderly, shields, brains, tenants, rooms, config_name, skew_ms } = schedule;
  const { wire, frozen } = schedule;
  const world = { orderly, shields, brains, tenants, rooms, config: config_name, wire, frozen };
  const lines = schedule.actions.map(({ at_ms, action: { kind, ...rest } }) =>
    `${String(Math.round(at_ms)).padStart(8)} ms  ${kind.padEnd(8)} ${words(rest)}`
  );
  return [
    `seed ${seed}: ${words(world)} skew_ms={${words(skew_ms)}}`,
    ...lines,
    `${String(Math.round(schedule.quiet_ms)).padStart(8)} ms  quiet`,
  ].join("\n");
}
