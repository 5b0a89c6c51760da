/**
 * Makes a schedule from a seed. Each draws its own mixture of faults, so that some worlds see only
 * partitions, some only crashes, some everything at once.
 */
import { Presence } from "../../shared/config/schema_state.ts";
import type { Config } from "../../shared/config/schema.ts";
import { createRandom, type Random } from "./random.ts";
import { type Action, brainIds, type Schedule, shieldIds, type Timed } from "./schedule.ts";

type PresenceConfig = Config["presence"];

/** Named sets of times. The defaults are among them; the others reach more states per event. */
const CONFIGS: Readonly<Record<string, Partial<PresenceConfig>>> = {
  defaults: {},
  short: {
    heartbeat_ms: 500,
    down_ms: 2_500,
    forget_ms: 12_000,
    brain_timeout_ms: 1_500,
    sync_timeout_ms: 2_000,
  },
  tight: {
    heartbeat_ms: 500,
    down_ms: 1_000,
    forget_ms: 3_000,
    brain_timeout_ms: 1_000,
    sync_timeout_ms: 1_000,
    announce_ms: 200,
  },
  pages: {
    heartbeat_ms: 500,
    down_ms: 3_000,
    forget_ms: 8_000,
    brain_timeout_ms: 2_000,
    page_members: 2,
    grace: [{ room: "r0", grace_ms: 3_000 }],
  },
  slow_brains: {
    heartbeat_ms: 500,
    down_ms: 1_500,
    forget_ms: 20_000,
    brain_timeout_ms: 6_000,
    grace: [{ room: "*", grace_ms: 1_000 }],
  },
};

/** Of a hundred schedules, how many have each. The defaults need the most events a minute of life. */
const CONFIG_SHARE: Readonly<Record<string, number>> = {
  defaults: 10,
  short: 35,
  tight: 20,
  pages: 20,
  slow_brains: 15,
};

function weighted<T extends string>(random: Random, weights: Readonly<Record<T, number>>): T {
  const entries = Object.entries<number>(weights) as [T, number][];
  let rest = random.next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [name, weight] of entries) {
    rest -= weight;
    if (rest < 0) return name;
  }
  return entries[0]![0];
}

/** What an action is made from. */
interface Cast {
  readonly random: Random;
  readonly config: PresenceConfig;
  readonly clients: number;
  readonly shields: number;
  readonly tenants: number;
  readonly rooms: number;
  readonly processes: readonly string[];
}

/** Sometimes a blink, sometimes beyond each of the limits, rarely beyond all. */
function faultTime({ random, config }: Cast): number {
  const { heartbeat_ms, down_ms, forget_ms, brain_timeout_ms } = config;
  const limit = random.pick([heartbeat_ms, heartbeat_ms, brain_timeout_ms, down_ms]);
  // Twenty minutes of default heartbeats cost as much as thirty other schedules.
  const longest = forget_ms <= 60_000 && random.chance(0.1) ? forget_ms : limit;
  return Math.round(longest * (0.3 + 1.4 * random.next()));
}

function clientAction(cast: Cast, kind: "join" | "leave" | "close" | "lose"): Action {
  const { random, clients, rooms, shields, config } = cast;
  const client = random.int(0, clients - 1);
  const room = random.int(0, rooms - 1);
  const soon_ms = Math.round(random.next() * 2 * config.heartbeat_ms);
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
      return { kind, client, back_after_ms: soon_ms, shield: random.int(0, shields - 1) };
  }
}

function storm({ random, shields, tenants, rooms, config }: Cast): Action {
  return {
    kind: "storm",
    shield: random.int(0, shields - 1),
    tenant: random.int(0, tenants - 1),
    room: random.int(0, rooms - 1),
    count: random.int(5, 25),
    stay_ms: Math.round(random.next() ** 2 * 4 * config.heartbeat_ms),
  };
}

function processAction(
  cast: Cast,
  kind: "crash" | "restart" | "pause" | "isolate" | "clock",
): Action {
  const { random, processes, config } = cast;
  const process = random.pick(processes);
  if (kind === "clock") {
    const far_ms = random.pick([config.heartbeat_ms, config.down_ms, 3_600_000]);
    return { kind, process, by_ms: Math.round((random.next() * 2 - 1) * far_ms) };
  }
  const for_ms = faultTime(cast);
  if (kind !== "crash") return { kind, process, for_ms };
  const back_ms = -Math.round(random.next() * 2 * config.down_ms);
  return {
    kind,
    process,
    for_ms: random.chance(0.15) ? 0 : random.chance(0.5) ? random.int(1, 300) : for_ms,
    clock_shift_ms: random.chance(0.2) ? back_ms - for_ms : 0,
  };
}

function networkAction(cast: Cast, kind: "cut" | "detach" | "weather"): Action {
  const { random, processes } = cast;
  const for_ms = faultTime(cast);
  switch (kind) {
    case "cut": {
      const [one, other] = [random.pick(processes), random.pick(processes)];
      return { kind, one, other, both: random.chance(0.5), for_ms };
    }
    case "detach": {
      const noticed_ms = Math.round(random.next() * 3_000);
      return { kind, process: random.pick(processes), for_ms, noticed_ms };
    }
    case "weather": {
      const weather = {
        loss: random.chance(0.7) ? random.next() * 0.5 : 0,
        duplicate: random.chance(0.5) ? random.next() * 0.5 : 0,
        delay_ms: random.chance(0.5) ? random.int(3, 2_500) : 3,
        reorder: random.chance(0.5),
      };
      return { kind, weather, for_ms };
    }
  }
}

function action(cast: Cast, kind: Action["kind"]): Action {
  switch (kind) {
    case "join":
    case "leave":
    case "close":
    case "lose":
      return clientAction(cast, kind);
    case "storm":
      return storm(cast);
    case "crash":
    case "restart":
    case "pause":
    case "isolate":
    case "clock":
      return processAction(cast, kind);
    case "cut":
    case "detach":
    case "weather":
      return networkAction(cast, kind);
  }
}

/** Clients always do things; of the faults each kind is in this world or not. */
function weights(random: Random): Record<Action["kind"], number> {
  const fault = (weight: number) => random.chance(0.55) ? weight : 0;
  return {
    join: 10,
    leave: 3,
    close: 1,
    lose: 2,
    storm: 0.7,
    crash: fault(2),
    restart: fault(1.5),
    pause: fault(1.5),
    cut: fault(2),
    isolate: fault(1.5),
    detach: fault(1.5),
    weather: fault(1.5),
    clock: random.chance(0.2) ? 1 : 0,
  };
}

/** The same seed gives the same schedule. */
export function generate(seed: number): Schedule {
  const random = createRandom(seed);
  const config_name = weighted(random, CONFIG_SHARE);
  const config = Presence.parse(CONFIGS[config_name]);
  const shape = {
    shields: random.int(1, 3),
    brains: random.int(1, 3),
    tenants: random.int(1, 2),
    rooms: random.int(1, 3),
  };
  const processes = [...shieldIds(shape), ...brainIds(shape)];
  const cast: Cast = { random, config, clients: random.int(2, 8), ...shape, processes };
  const kinds = weights(random);
  const mean_ms = config.heartbeat_ms * (0.2 + random.next());
  const actions: Timed[] = [];
  let at_ms = random.chance(0.5) ? 0 : 3 * config.heartbeat_ms;
  const count = random.int(20, 80);
  for (let made = 0; made < count; made++) {
    // Often in one breath: what falls within one batch or one delay is where the bugs are.
    at_ms += random.chance(0.4) ? random.int(0, 60) : Math.round(mean_ms * 2 * random.next());
    actions.push({ at_ms, action: action(cast, weighted(random, kinds)) });
  }
  const skewed = random.chance(0.3);
  return {
    seed,
    ...shape,
    config_name,
    config,
    wire: random.chance(0.1),
    frozen: random.chance(0.1),
    skew_ms: Object.fromEntries(
      processes.map((id) => [id, skewed ? random.int(-5_000, 5_000) : 0]),
    ),
    quiet_ms: at_ms + random.int(0, config.heartbeat_ms),
    actions,
  };
}
