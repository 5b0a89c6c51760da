/**
 * Generates a schedule from a seed. Each has its own mixture of faults, so that some worlds have only partitions, some
 * only crashes, some everything at once, and some no faults: clients, and restarts one after another.
 */
import { configFrom } from "../../shared/config/load.ts";
import type { Config } from "../../shared/config/schema.ts";
import { type Cast, drawAction } from "./actions.ts";
import { PLOTS } from "./plots.ts";
import { createRandom, type Random } from "../../shared/testing/seeded.ts";
import { type Action, brainIds, type Schedule, shieldIds, type Timed } from "./schedule.ts";

/**
 * Outside the model: here members of a Shield that stops leave at once, as with a grace of 0.
 * `brain/presence/presence_test.ts` covers their grace.
 */
const MODELLED = { move_grace_ms: 0 };
/** Named sets of times. The defaults are one of them; the others reach more states per event. */
const CONFIGS: Readonly<Record<string, Partial<Config["presence"]>>> = {
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

/** How many of a hundred schedules use each. The defaults need the most events per simulated minute. */
const CONFIG_SHARE: Readonly<Record<string, number>> = {
  defaults: 20,
  short: 30,
  tight: 20,
  pages: 15,
  slow_brains: 15,
};
/** Share of schedules without faults. */
const ORDERLY = 0.1;

function weighted<T extends string>(random: Random, weights: Readonly<Record<T, number>>): T {
  const entries = Object.entries<number>(weights) as [T, number][];
  let rest = random.next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [name, weight] of entries) {
    rest -= weight;
    if (rest < 0) return name;
  }
  return entries[0]![0];
}

/** Clients always act; each kind of fault is either part of this world or not. */
function weights(random: Random, orderly: boolean): Record<Action["kind"], number> {
  const fault = (weight: number) => !orderly && random.chance(0.5) ? weight : 0;
  return {
    join: 10,
    leave: 3,
    close: 1,
    lose: 2,
    storm: 0.7,
    crash: fault(2),
    restart: orderly ? 1 : fault(1.5),
    pause: fault(1.5),
    cut: fault(2),
    isolate: fault(1.5),
    detach: fault(1.5),
    weather: fault(1.5),
    clock: random.chance(0.4) ? fault(1) : 0,
  };
}

/** The same seed gives the same schedule. */
export function generate(seed: number): Schedule {
  const random = createRandom(seed);
  const orderly = random.chance(ORDERLY);
  const config_name = weighted(random, CONFIG_SHARE);
  const config = configFrom({ presence: { ...MODELLED, ...CONFIGS[config_name] } }).presence;
  const shape = { tenants: random.int(1, 2), rooms: random.int(1, 3) };
  const counts = { shields: random.int(1, 3), brains: random.int(1, 3) };
  const shields = shieldIds(counts);
  const brains = brainIds(counts);
  const cast: Cast = { random, config, clients: random.int(2, 8), ...shape, shields, brains };
  const kinds = weights(random, orderly);
  const plots = orderly ? 0 : random.pick([0, 0.02, 0.08]);
  const mean_ms = config.heartbeat_ms * (0.2 + random.next());
  const actions: Timed[] = [];
  let at_ms = random.chance(0.5) ? 0 : 3 * config.heartbeat_ms;
  const count = random.int(20, 80);
  let restarts_from_ms = 0;
  while (actions.length < count) {
    // Often within a few ms: bugs show when events fall within one batch or one delay.
    at_ms += random.chance(0.4) ? random.int(0, 60) : Math.round(mean_ms * 2 * random.next());
    if (random.chance(plots)) {
      actions.push(...random.pick(PLOTS)(cast, at_ms + 50));
      continue;
    }
    let action = drawAction(cast, weighted(random, kinds));
    if (orderly && action.kind === "restart") {
      // One after another: the next one when this one has restarted and caught up.
      if (at_ms < restarts_from_ms) continue;
      if (brains.length === 1) action = { ...action, for_ms: Math.max(action.for_ms, 1) };
      restarts_from_ms = at_ms + action.for_ms + 4 * config.heartbeat_ms;
    }
    actions.push({ at_ms, action });
  }
  actions.sort((one, other) => one.at_ms - other.at_ms);
  const last_ms = actions.at(-1)?.at_ms ?? 0;
  const skewed = random.chance(0.3);
  const skew = () => skewed ? random.int(-5_000, 5_000) : 0;
  return {
    seed,
    orderly,
    ...shape,
    ...counts,
    config_name,
    config,
    wire: random.chance(0.1),
    frozen: random.chance(0.1),
    skew_ms: Object.fromEntries([...shields, ...brains].map((id) => [id, skew()])),
    quiet_ms: last_ms + random.int(0, config.heartbeat_ms),
    actions,
  };
}
