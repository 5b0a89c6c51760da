/**
 * Runs a schedule in a world: every action at its time, then quiet for the stated bound, then the
 * comparison with the truth.
 *
 * The bound. Let the faults end at 0 (all processes run, all links are up, clients do nothing more).
 * Then, in the worst case one after another:
 * 1. A Shield that died just before is given up: `down_ms` after its last message. A Brain that
 *    notices its own pause subtracts it, once: with a heartbeat until it checks, `down_ms +
 *    2 heartbeat_ms`.
 * 2. Meanwhile a dead Brain stops being an owner: `brain_timeout_ms + heartbeat_ms`; a starting one
 *    receives everybody's announcements and pulls: also less than 1, or counted in 3.
 * 3. What a Brain misses shows in the next heartbeat; the pull is answered, or went to a dead process
 *    and is retried: two tries, `2 heartbeat_ms + 2 PULL_MS`.
 * 4. A wrong table shows in the next RoomCheck, and its pull may be refused for being behind (250 ms)
 *    or may have been lost with the faults: `2 heartbeat_ms + 2 PULL_MS`.
 * 5. A client whose SUB was refused for lack of a table retries: `sync_timeout_ms` and 500 ms.
 * 6. Held leaves: the longest `grace_ms`; batches: `announce_ms` at Shield and Brain, 1 s to clients.
 * Without faults nobody waits for silence: a process that stops announces it. What remains is a start
 * (a Brain listens for a heartbeat before it serves), the next RoomCheck or retry (a heartbeat),
 * batches, and 1 s for a client that was rejected just now or connected to a Shield before a Brain
 * served.
 */
import { Clients } from "./clients.ts";
import type { Tamper } from "./network.ts";
import { type Action, FAIR, type Schedule, shieldIds } from "./schedule.ts";
import { memberLine, roomKey } from "./truth.ts";
import { World } from "./world.ts";

/** Until an unanswered request is retried. */
const PULL_MS = 1_000;
/** The time without changes after everything agrees, in heartbeats. */
const STILL_HEARTBEATS = 6;

/** The outcome of a schedule. */
export interface Outcome {
  /** Empty if it passed. */
  readonly violations: readonly string[];
  /** Its duration in simulated ms. */
  readonly simulated_ms: number;
  /** Delivered messages. */
  readonly delivered: number;
}

/** The time after the last fault in which everything must agree again. */
export function boundMs({ orderly, config }: Schedule): number {
  const { heartbeat_ms, down_ms, brain_timeout_ms, sync_timeout_ms, announce_ms, grace } = config;
  const held_ms = Math.max(0, ...grace.map(({ grace_ms }) => grace_ms));
  if (orderly) return 2 * heartbeat_ms + 3 * announce_ms + 2_000 + held_ms;
  const given_up_ms = Math.max(down_ms, brain_timeout_ms) + 2 * heartbeat_ms;
  const asked_ms = 4 * heartbeat_ms + 4 * PULL_MS;
  const clients_ms = sync_timeout_ms + 500 + 1_000 + 2 * announce_ms;
  return given_up_ms + asked_ms + clients_ms + held_ms;
}

/** Performs one action at the world's current time. No fault outlasts the schedule. */
function act(world: World, clients: Clients, action: Action): void {
  const left_ms = world.schedule.quiet_ms - world.now();
  const clipped = (for_ms: number) => Math.min(for_ms, left_ms);
  switch (action.kind) {
    case "join": {
      const { client, room, meta, observer } = action;
      return clients.join(client, `r${room}`, { meta, observer });
    }
    case "leave":
      return clients.leave(action.client, `r${action.room}`);
    case "close":
      return clients.end(action.client, true, action.back_after_ms);
    case "lose":
      return clients.end(action.client, false, action.back_after_ms, `s${action.shield}`);
    case "storm": {
      const { shield, tenant, room, count, stay_ms } = action;
      const left_ms = stay_ms === 0 ? 0 : Math.max(clipped(stay_ms), 1);
      return clients.storm(`s${shield}`, `t${tenant}`, `r${room}`, count, left_ms);
    }
    case "crash": {
      const skew_ms = world.lifeOf(action.process)?.skew_ms ?? 0;
      world.kill(action.process);
      if (action.for_ms === 0) return;
      world.timeline.after(
        clipped(action.for_ms),
        () => world.start(action.process, skew_ms + action.clock_shift_ms),
      );
      return;
    }
    case "restart":
      return world.restart(
        action.process,
        clipped(action.for_ms),
        (life) => clients.sendAway(life),
      );
    case "pause":
      return world.pause(action.process, clipped(action.for_ms));
    case "cut":
      return world.cut(action.one, action.other, action.both, clipped(action.for_ms));
    case "isolate":
      return world.isolate(action.process, clipped(action.for_ms));
    case "detach":
      return world.detach(action.process, clipped(action.for_ms), action.noticed_ms);
    case "clock":
      return world.setClock(action.process, action.by_ms);
    case "weather":
      return setWeather(world, action, clipped(action.for_ms));
  }
}

function setWeather(
  world: World,
  { weather }: Extract<Action, { kind: "weather" }>,
  for_ms: number,
): void {
  world.network.weather = weather;
  world.timeline.after(for_ms, () => {
    if (world.network.weather === weather) world.network.weather = FAIR;
  });
}

/** Compares the answers of Brains and Shields in a quiet world with the truth. */
function differences(world: World): string[] {
  const differences: string[] = [];
  const { tenants, rooms } = world.schedule;
  for (let tenant = 0; tenant < tenants; tenant++) {
    for (let room = 0; room < rooms; room++) {
      const tenant_id = `t${tenant}`;
      const room_id = `r${room}`;
      const key = roomKey(tenant_id, room_id);
      const truth = world.truth.lines(key).join(", ");
      const users = world.truth.users(key);
      const connections = world.truth.lines(key).length;
      for (const [id, { machine, fold }] of world.brains) {
        const difference = fold.differs(machine, tenant_id, room_id);
        if (difference !== undefined) differences.push(difference);
        const members = [...machine.members(tenant_id, room_id)];
        const seen = members.map(memberLine).sort().join(", ");
        if (seen !== truth) differences.push(`${id}: ${key} is [${seen}], truth is [${truth}]`);
        const count = machine.count(tenant_id, room_id);
        if (count.connections !== connections || count.users !== users) {
          differences.push(`${id}: counts ${JSON.stringify(count)} in ${key}, not ${users} users`);
        }
        if (!machine.serving) differences.push(`${id}: does not serve`);
      }
      for (const [id, { machine }] of world.shields) {
        const view = machine.view(tenant_id, room_id);
        if (view === undefined) continue;
        const seen = [...view.members].map(memberLine).sort().join(", ");
        if (seen !== truth) differences.push(`${id}: ${key} is [${seen}], truth is [${truth}]`);
      }
    }
  }
  return differences;
}

/** Ends all faults; at least one process of each part runs. */
function quiet(world: World): void {
  world.network.weather = FAIR;
  for (const id of world.ids()) {
    const life = world.lifeOf(id);
    if (life !== undefined) world.resume(life);
  }
  if (world.brains.size === 0) world.start("b0", 0);
  if (world.shields.size === 0) world.start(shieldIds(world.schedule)[0]!, 0);
}

/** Runs the schedule until its end. An error of a machine is not thrown: it is a violation. */
export function play(schedule: Schedule, tamper?: Tamper): Outcome {
  const world = new World(schedule, tamper);
  const clients = new Clients(world);
  for (const id of world.ids()) world.start(id, schedule.skew_ms[id] ?? 0);
  for (const { at_ms, action } of schedule.actions) {
    world.timeline.runUntil(at_ms);
    act(world, clients, action);
    if (world.violations.length > 0) break;
  }
  if (world.violations.length === 0) {
    // A restart that began at the very end takes as long as a process's goodbye.
    const quiet_ms = schedule.quiet_ms + schedule.config.announce_ms + 50;
    world.timeline.runUntil(quiet_ms);
    quiet(world);
    world.timeline.runUntil(quiet_ms + boundMs(schedule));
    const check = () => {
      for (const text of [...differences(world), ...clients.differences()]) world.violate(text);
    };
    check();
    if (world.violations.length === 0) {
      world.timeline.runUntil(world.now() + STILL_HEARTBEATS * schedule.config.heartbeat_ms);
      check();
    }
  }
  return {
    violations: world.violations,
    simulated_ms: world.now(),
    delivered: world.network.delivered,
  };
}
