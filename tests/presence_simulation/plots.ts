/**
 * Related actions: situations that independent random actions would reach too rarely. Each plot takes a few simulated
 * seconds, with active clients.
 */
import { type Cast, clientAction, crash, drawWeather, faultTime, storm } from "./actions.ts";
import type { Action, Timed } from "./schedule.ts";

/** Returns the actions of a plot that begins at `at_ms`. */
type Plot = (cast: Cast, at_ms: number) => Timed[];

/** Active clients for a while. */
function busy(cast: Cast, at_ms: number, for_ms: number, count: number): Timed[] {
  const { random } = cast;
  return Array.from({ length: count }, () => {
    const kind = random.pick(["join", "join", "leave", "lose", "storm"] as const);
    const action = kind === "storm" ? storm(cast) : clientAction(cast, kind);
    return { at_ms: at_ms + Math.round(random.next() * for_ms), action };
  });
}

const at = (at_ms: number, action: Action): Timed => ({ at_ms, action });

/** A Brain that has missed a Shield's messages becomes owner of its rooms. */
function handover(cast: Cast, at_ms: number): Timed[] {
  const { random, shields, brains } = cast;
  const shield = random.pick(shields);
  const heir = random.pick(brains);
  const for_ms = faultTime(cast);
  const others = brains.filter((brain) => brain !== heir);
  const when = () => at_ms + Math.round(for_ms * random.next());
  return [
    at(at_ms, { kind: "cut", one: shield, other: heir, both: random.chance(0.3), for_ms }),
    ...busy(cast, at_ms, for_ms, 3),
    at(when(), storm(cast, shield)),
    ...others.map((brain) =>
      at(
        when(),
        random.chance(0.5)
          ? crash(cast, brain)
          : { kind: "pause", process: brain, for_ms: faultTime(cast) },
      )
    ),
  ];
}

/** A Brain stops and starts repeatedly. */
function flapping(cast: Cast, at_ms: number): Timed[] {
  const { random, brains, config } = cast;
  const brain = random.pick(brains);
  const actions: Timed[] = [];
  let now_ms = at_ms;
  for (let time = 0; time < 4; time++) {
    const for_ms = random.int(1, config.heartbeat_ms);
    const fate: Action = random.chance(0.5)
      ? { kind: "crash", process: brain, for_ms, clock_shift_ms: 0 }
      : { kind: "restart", process: brain, for_ms };
    actions.push(at(now_ms, fate));
    now_ms += for_ms + random.int(1, 2 * config.heartbeat_ms);
  }
  return [...actions, ...busy(cast, at_ms, now_ms - at_ms, 6)];
}

/** A Brain is stopped while others take over, and continues as if nothing had happened. */
function zombie(cast: Cast, at_ms: number): Timed[] {
  const { random, brains, config } = cast;
  const for_ms = Math.round(config.brain_timeout_ms * (0.8 + random.next()));
  return [
    at(at_ms, { kind: "pause", process: random.pick(brains), for_ms }),
    ...busy(cast, at_ms, for_ms + config.heartbeat_ms, 6),
  ];
}

/** A short network disturbance while everybody is active. */
function squall(cast: Cast, at_ms: number): Timed[] {
  const { random, config } = cast;
  const for_ms = random.int(100, 2 * config.heartbeat_ms);
  const weather = {
    ...drawWeather(random),
    loss: random.next() * 0.7,
    delay_ms: random.int(3, 500),
  };
  return [at(at_ms, { kind: "weather", weather, for_ms }), ...busy(cast, at_ms, for_ms, 6)];
}

/** All Brains restart within a heartbeat. */
function amnesia(cast: Cast, at_ms: number): Timed[] {
  const { random, brains, config } = cast;
  const restarts = brains.map((brain): Timed => {
    const for_ms = random.int(1, config.heartbeat_ms);
    const when_ms = at_ms + random.int(0, config.heartbeat_ms);
    return at(when_ms, { kind: "crash", process: brain, for_ms, clock_shift_ms: 0 });
  });
  const weather = { ...drawWeather(random), delay_ms: random.int(3, 500) };
  const storms = random.chance(0.5)
    ? [at(at_ms, { kind: "weather", weather, for_ms: 3 * config.heartbeat_ms } as const)]
    : [];
  return [...storms, ...restarts, ...busy(cast, at_ms, 2 * config.heartbeat_ms, 3)];
}

/** A Brain that other Brains receive, but no Shield does, takes over rooms, and dies. */
function rival(cast: Cast, at_ms: number): Timed[] {
  const { random, shields, brains, config } = cast;
  const one = random.pick(brains);
  const for_ms = Math.round(config.brain_timeout_ms * (1 + random.next()));
  const both = random.chance(0.5);
  return [
    ...shields.map((other) => at(at_ms, { kind: "cut", one, other, both, for_ms })),
    at(at_ms, { kind: "crash", process: one, for_ms: random.int(1, 300), clock_shift_ms: 0 }),
    ...busy(cast, at_ms, for_ms, 6),
    at(at_ms + for_ms - 1, crash(cast, one)),
  ];
}

/** One Shield restarts; its clients reconnect elsewhere and return. */
function bounce(cast: Cast, at_ms: number): Timed[] {
  const { random, shields, config } = cast;
  const shield = random.pick(shields);
  const later_ms = at_ms + random.int(1, config.heartbeat_ms);
  return [
    ...busy(cast, at_ms - 50, 50, 3),
    at(at_ms, crash(cast, shield)),
    at(later_ms, { kind: "restart", process: shield, for_ms: random.int(1, 200) }),
    ...busy(cast, at_ms, config.heartbeat_ms, 3),
  ];
}

/**
 * A Shield restarts while a Brain is stopped, and pulls its lists from the other Brains; then the Brain continues with
 * a backlog of all messages.
 */
function newcomer(cast: Cast, at_ms: number): Timed[] {
  const { random, shields, brains, config } = cast;
  const shield = random.pick(shields);
  const pause_ms = Math.round(config.brain_timeout_ms * (0.5 + 1.5 * random.next()));
  const down_ms = random.int(1, pause_ms);
  const stopped_ms = at_ms + random.int(0, down_ms);
  const back_ms = at_ms + down_ms;
  const rejoin = () => {
    const action = clientAction(cast, "lose");
    if (action.kind !== "lose") return action;
    return { ...action, back_after_ms: 1, shield: shields.indexOf(shield) };
  };
  return [
    ...busy(cast, at_ms - 50, 50, 3),
    at(at_ms, { kind: "crash", process: shield, for_ms: down_ms, clock_shift_ms: 0 }),
    at(stopped_ms, { kind: "pause", process: random.pick(brains), for_ms: pause_ms }),
    ...Array.from({ length: 3 }, () => at(back_ms + random.int(1, config.heartbeat_ms), rejoin())),
    ...busy(cast, at_ms, down_ms, 3),
    ...busy(cast, back_ms, pause_ms, 6),
  ];
}

/** All plots. */
export const PLOTS: readonly Plot[] = [
  handover,
  flapping,
  zombie,
  squall,
  amnesia,
  rival,
  bounce,
  newcomer,
];
