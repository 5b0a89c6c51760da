/**
 * Generates single actions: what a client does, and faults of a process or the network. `generate.ts` decides which and
 * how many; `plots.ts` has related ones.
 */
import type { Config } from "../../shared/config/schema.ts";
import type { Random } from "../../shared/testing/seeded.ts";
import type { Action, Weather } from "./schedule.ts";

/** The inputs of actions. */
export interface Cast {
  readonly random: Random;
  readonly config: Config["presence"];
  readonly clients: number;
  readonly tenants: number;
  readonly rooms: number;
  readonly shields: readonly string[];
  readonly brains: readonly string[];
}

/** Sometimes very short, sometimes longer than each of the limits, rarely longer than all. */
export function faultTime({ random, config }: Cast): number {
  const { heartbeat_ms, down_ms, forget_ms, brain_timeout_ms } = config;
  const limit = random.pick([heartbeat_ms, heartbeat_ms, brain_timeout_ms, down_ms]);
  // Twenty minutes of default heartbeats cost as much as thirty other schedules.
  const longest = forget_ms <= 60_000 && random.chance(0.1) ? forget_ms : limit;
  return Math.round(longest * (0.3 + 1.4 * random.next()));
}

/** What one client does. */
export function clientAction(cast: Cast, kind: "join" | "leave" | "close" | "lose"): Action {
  const { random, clients, rooms, shields, config } = cast;
  const client = random.int(0, clients - 1);
  const room = random.int(0, rooms - 1);
  const soon_ms = Math.round(random.next() ** 2 * 2 * config.heartbeat_ms) + 1;
  switch (kind) {
    case "join": {
      const meta = random.chance(0.3) ? "" : `{"v":${random.int(0, 3)}}`;
      return { kind, client, room, meta, observer: random.chance(0.15) };
    }
    case "leave":
      return { kind, client, room };
    case "close":
      return { kind, client, back_after_ms: random.chance(0.5) ? 0 : soon_ms };
    case "lose":
      return { kind, client, back_after_ms: soon_ms, shield: random.int(0, shields.length - 1) };
  }
}

/** Many at once at one Shield; some stay. */
export function storm(cast: Cast, at: string = cast.random.pick(cast.shields)): Action {
  const { random, shields, tenants, rooms, config } = cast;
  return {
    kind: "storm",
    shield: shields.indexOf(at),
    tenant: random.int(0, tenants - 1),
    room: random.int(0, rooms - 1),
    count: random.int(2, 20),
    stay_ms: random.chance(0.3) ? 0 : 1 + Math.round(random.next() ** 2 * 4 * config.heartbeat_ms),
  };
}

/** SIGKILL; restarts at once, later or never, sometimes with its clock set back. */
export function crash(cast: Cast, process: string): Action {
  const { random, config } = cast;
  const for_ms = random.chance(0.15)
    ? 0
    : random.chance(0.5)
    ? random.int(1, 300)
    : faultTime(cast);
  const back_ms = Math.round(random.next() * 2 * config.down_ms);
  const clock_shift_ms = random.chance(0.2) ? -back_ms - for_ms : 0;
  return { kind: "crash", process, for_ms, clock_shift_ms };
}

/** Sets a clock. */
export function setClock({ random, config }: Cast, process: string): Action {
  const far_ms = random.pick([config.heartbeat_ms, config.down_ms, 3_600_000]);
  return { kind: "clock", process, by_ms: Math.round((random.next() * 2 - 1) * far_ms) };
}

/** A random network condition. */
export function drawWeather(random: Random): Weather {
  return {
    loss: random.chance(0.7) ? random.next() * 0.5 : 0,
    duplicate: random.chance(0.5) ? random.next() * 0.5 : 0,
    delay_ms: random.chance(0.5) ? random.int(3, 2_500) : 3,
    reorder: random.chance(0.5),
  };
}

/** One action of that kind. */
export function drawAction(cast: Cast, kind: Action["kind"]): Action {
  const { random, shields, brains } = cast;
  const process = random.pick([...shields, ...brains]);
  const for_ms = faultTime(cast);
  switch (kind) {
    case "join":
    case "leave":
    case "close":
    case "lose":
      return clientAction(cast, kind);
    case "storm":
      return storm(cast);
    case "crash":
      return crash(cast, process);
    case "clock":
      return setClock(cast, process);
    case "restart":
      return { kind, process, for_ms: random.chance(0.15) ? 0 : for_ms };
    case "pause":
    case "isolate":
      return { kind, process, for_ms };
    case "detach":
      return { kind, process, for_ms, noticed_ms: Math.round(random.next() * 3_000) };
    case "cut": {
      const other = random.pick([...shields, ...brains]);
      return { kind, one: process, other, both: random.chance(0.5), for_ms };
    }
    case "weather":
      return { kind, weather: drawWeather(random), for_ms };
  }
}
