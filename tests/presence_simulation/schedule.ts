/**
 * A schedule: what world there is and what happens in it when. Plain data, so that it can be
 * printed, shrunk and played again. `generate.ts` makes them, `world.ts` plays them.
 */
import type { Config } from "../../shared/config/schema.ts";

/** What a user or an operator does, or what befalls a process. Durations in simulated ms. */
export type Action =
  /** SUB with presence (as a watcher only when `observer`); again: new meta. Connects if need be. */
  | { kind: "join"; client: number; room: number; meta: string; observer: boolean }
  /** UNSUB. */
  | { kind: "leave"; client: number; room: number }
  /** Close 1000; with `back_after_ms` 0 it stays away until its next join. */
  | { kind: "close"; client: number; back_after_ms: number }
  /** The TCP connection is lost; the client joins its rooms again, through `shield` if that lives. */
  | { kind: "lose"; client: number; back_after_ms: number; shield: number }
  /** Clients nobody else names join one room in the same millisecond, and leave after `stay_ms` (0: never). */
  | { kind: "storm"; shield: number; tenant: number; room: number; count: number; stay_ms: number }
  /** SIGKILL. Starts again with its clock moved by `clock_shift_ms`; never when `for_ms` is 0. */
  | { kind: "crash"; process: string; for_ms: number; clock_shift_ms: number }
  /** SIGTERM, and a new start `for_ms` after that; none when that is 0. */
  | { kind: "restart"; process: string; for_ms: number }
  /** SIGSTOP and SIGCONT: nothing runs, messages and timers wait. */
  | { kind: "pause"; process: string; for_ms: number }
  /** Nothing passes between two processes (from `one` to `other` only, unless `both`). */
  | { kind: "cut"; one: string; other: string; both: boolean; for_ms: number }
  /** Nothing passes to and from the process, and it does not know. */
  | { kind: "isolate"; process: string; for_ms: number }
  /** It loses its Spine connection, and knows after `noticed_ms` unless it is back by then. */
  | { kind: "detach"; process: string; for_ms: number; noticed_ms: number }
  /** Its clock is set, forward or back. */
  | { kind: "clock"; process: string; by_ms: number }
  /** From now on all messages fare like this. */
  | { kind: "weather"; weather: Weather; for_ms: number };

/** How the network treats messages. */
export interface Weather {
  /** Share of messages lost, 0 to 1. */
  readonly loss: number;
  /** Share of messages that come twice. */
  readonly duplicate: number;
  /** Longest delay; each message draws its own. */
  readonly delay_ms: number;
  /** Messages of one link overtake each other. */
  readonly reorder: boolean;
}

/** An action and when. */
export interface Timed {
  readonly at_ms: number;
  readonly action: Action;
}

/** A whole world and its fate. */
export interface Schedule {
  readonly seed: number;
  /** Nothing fails: processes only stop and start in order. Then nothing at all may go wrong. */
  readonly orderly: boolean;
  readonly shields: number;
  readonly brains: number;
  readonly tenants: number;
  /** Rooms of each tenant; they have the same names. */
  readonly rooms: number;
  readonly config_name: string;
  readonly config: Config["presence"];
  /** Messages pass through their bytes. */
  readonly wire: boolean;
  /** Messages are frozen: whoever changes one afterwards throws. */
  readonly frozen: boolean;
  /** Process → by how much its clock is off. */
  readonly skew_ms: Readonly<Record<string, number>>;
  /** From here on nothing fails and nobody does anything. */
  readonly quiet_ms: number;
  readonly actions: readonly Timed[];
}

/** Calm, in order, a few ms. */
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

/** One line a timed action, for people. */
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
