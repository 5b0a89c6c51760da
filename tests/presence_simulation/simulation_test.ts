/**
 * Random schedules of Shields, Brains, clients and faults: after the faults everybody agrees with the truth, and no
 * client ever got wrong information (`play.ts`, `viewer.ts`). A failing seed is printed with its schedule, minimized.
 * `long_test.ts` runs ten times as many. Schedules that remove one safeguard of the protocol, in transit, are noticed.
 * Then clocks that are set, and a client whose new list is older than its previous one.
 */
import { requireConverging } from "./on_threads.ts";
import assert from "node:assert/strict";
import { presenceConfig } from "../../shield/presence/testing/port.ts";
import { describe, type Schedule } from "./schedule.ts";
import { type ShieldProcess, World } from "./world.ts";
import type { ClusterMessage } from "../../shared/presence/messages.ts";
import { generate } from "./generate.ts";
import type { Tamper } from "./network.ts";
import { play } from "./play.ts";
import { shrink } from "./simulate.ts";
import { encodePresenceUpdate } from "@arqon/proto";
import { MemberTable } from "../../sdk/typescript/presence/presence.ts";
import { memberOf as memberWith } from "../../shared/presence/testing/members.ts";
import type { PresenceWatch, RoomChanges } from "../../shield/presence/presence.ts";

Deno.test("presence converges, and nobody gets wrong information, in 1,000 random schedules", async () => {
  await requireConverging(1_000);
});

/** The minimum of the configuration: one lost heartbeat must not count as a death. */
const SETTINGS = { brain_timeout_ms: 3_000, down_ms: 3_000 };

const SCHEDULE: Schedule = {
  seed: 7,
  orderly: false,
  shields: 2,
  brains: 2,
  tenants: 1,
  rooms: 1,
  config_name: "default",
  config: presenceConfig(SETTINGS),
  wire: true,
  frozen: true,
  skew_ms: {},
  quiet_ms: 0,
  actions: [],
};
const STEPS_MS = [2_000, 3_000, 4_000, 5_000, 20_000, 7_200_000].flatMap((ms) => [ms, -ms]);
/** Within a heartbeat. */
const PHASES_MS = [0, 400, 800, 1_200];

for (const step_ms of STEPS_MS) {
  Deno.test(`a clock that is set by ${step_ms} ms makes no Brain and no Shield silent`, () => {
    for (const phase_ms of PHASES_MS) {
      for (const id of ["b0", "s0"]) {
        const world = new World(SCHEDULE);
        const run = (ms: number) => world.timeline.runUntil(world.now() + ms);
        for (const one of world.ids()) world.start(one, 0);
        run(20_000 + phase_ms);
        const lost: string[] = [];
        const look = () => {
          for (const { life, machine } of world.brains.values()) {
            if (machine.brains.length !== 2) lost.push(`${life.id} lost a Brain`);
            if (machine.writers.up !== 2) lost.push(`${life.id} lost a Shield`);
          }
          for (const { life, machine } of world.shields.values()) {
            if (machine.brains().length !== 2) lost.push(`${life.id} lost a Brain`);
          }
        };
        look();
        assert.deepEqual(lost, [], "before the step");
        world.setClock(id, step_ms);
        for (let at = 0; at < 400; at++) {
          run(25);
          look();
        }
        assert.deepEqual([...new Set(lost)], [], `${id}, ${phase_ms} ms after a heartbeat`);
      }
    }
  });
}

/** Seeds tried until one detects it. */
const SEEDS = 3_000;

const FAULTS: Readonly<Record<string, (message: ClusterMessage) => ClusterMessage | undefined>> = {
  "leaves that are not announced": (message) =>
    message.kind === "announcement"
      ? { ...message, delta: { ...message.delta, removed: [] } }
      : message,
  "holes that are never filled": (message) => message.kind === "pulled" ? undefined : message,
  "lost last updates that nobody looks for": (message) =>
    message.kind === "room_check" ? undefined : message,
  "updates that say no leaves": (message) =>
    message.kind === "room_update" ? { ...message, leaves: [] } : message,
  "snapshots that hide how old they are": (message) =>
    message.kind === "room_snapshot"
      ? { ...message, clocks: message.clocks.map(({ writer }) => ({ writer, clock: 2 ** 50 })) }
      : message,
  "Brains that nobody hears": (message) => message.kind === "beat" ? undefined : message,
  "Shields that say nothing while nothing happens": (message) =>
    message.kind === "announcement" && message.delta.start === message.delta.end
      ? undefined
      : message,
  "members of another tenant": (message) =>
    message.kind === "room_update"
      ? {
        ...message,
        joins: message.joins.map(({ writer, entry }) => ({
          writer,
          entry: { ...entry, connection_id: `other-${entry.connection_id}` },
        })),
      }
      : message,
};

function firstFailing(tamper: Tamper): Schedule | undefined {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const schedule = generate(seed);
    if (play(schedule, tamper).violations.length > 0) return schedule;
  }
  return undefined;
}

for (const [name, tamper] of Object.entries(FAULTS)) {
  Deno.test(`the simulation notices ${name}`, () => {
    assert.ok(firstFailing(tamper) !== undefined, `${SEEDS} schedules noticed nothing`);
  });
}

Deno.test("a failing schedule shrinks to a few actions, still fails and can be read", () => {
  const tamper = FAULTS["updates that say no leaves"]!;
  const schedule = firstFailing(tamper);
  assert.ok(schedule !== undefined);
  const fails = (candidate: Schedule) => play(candidate, tamper).violations.length > 0;
  const smallest = shrink(schedule, fails, 300);
  assert.ok(fails(smallest));
  assert.ok(smallest.actions.length < schedule.actions.length / 2, describe(smallest));
  assert.match(describe(smallest), /^seed \d+: .*\n( +\d+ ms {2}[a-z]+ .*\n)+ +\d+ ms {2}quiet$/);
});

Deno.test("the same seed gives the same run", () => {
  for (let seed = 1; seed <= 5; seed++) {
    const once = play(generate(seed));
    const again = play(generate(seed));
    assert.deepEqual(once, again);
  }
});

const LATE_LIST_SCHEDULE: Schedule = { ...SCHEDULE, brains: 1, config: presenceConfig() };
/** The server is stopped, and the Shield until it notices. */
const STILL_MS = 8_000, NOTICED_MS = 6_000;

const memberOf = (connection_id: string) => memberWith(connection_id, { tenant_id: "t0" });

type Follower = ReturnType<typeof follow>;

/** Watches the lobby: its list from the ACK to a SUB, and its events, verbatim. */
function follow({ machine }: ShieldProcess) {
  const received: RoomChanges[] = [];
  const lists: ReturnType<PresenceWatch["snapshot"]>[] = [];
  const watch: PresenceWatch = machine.watch("t0", "lobby", {
    onChanges: (changes) => void received.push(changes),
  });
  watch.ready((error) => {
    assert.equal(error, undefined);
    watch.reported(() => void lists.push(watch.snapshot()));
  });
  const list = () => {
    const [{ members, connections, users }] = lists as [typeof lists[number]];
    return {
      members: members.map(({ meta: _, ...member }) => member),
      connections,
      users,
      pages: 1,
    };
  };
  const changes = () =>
    received.flatMap(({ updates, leaves }) => [
      ...updates.map(({ connection_id }) => `+${connection_id}`),
      ...leaves.map(({ connection_id }) => `-${connection_id}`),
    ]);
  return { received, list, changes };
}

/** A member of the lobby, visible on both Shields, and a client's list on the first of them. */
function setUp() {
  const world = new World(LATE_LIST_SCHEDULE);
  const run = (ms: number) => world.timeline.runUntil(world.now() + ms);
  for (const id of world.ids()) world.start(id, 0);
  run(5_000);
  const [one, other] = world.shields.values() as unknown as [ShieldProcess, ShieldProcess];
  other.machine.join(memberOf("stays"));
  run(1_000);
  const here = follow(one);
  const there = follow(other);
  run(1_000);
  const table = new MemberTable();
  const seen = () => [...table.members.keys()].sort();
  const take = ({ received }: Follower) => {
    for (const changes of received) {
      table.update(encodePresenceUpdate({ ...changes, members: changes.updates, snapshot: false }));
    }
  };
  table.begin(here.list());
  assert.deepEqual(seen(), ["stays"]);
  const comes = () => {
    one.machine.join(memberOf("comes"));
    run(1_000);
    take(here);
    assert.deepEqual(seen(), ["comes", "stays"], "its own Shield knows it at once");
    table.lost();
  };
  return { world, run, one, other, here, there, table, seen, take, comes };
}

Deno.test("a client of a Shield that has not received a member yet misses it, and nobody gets a leave", () => {
  const { world, run, one, other, here, there, table, seen, take, comes } = setUp();
  world.detach(one.life.id, STILL_MS, NOTICED_MS);
  comes();
  run(4_000);
  const next = follow(other);
  run(100);
  table.begin(next.list());
  assert.deepEqual(seen(), ["stays"], "the list of the other Shield is older");
  run(STILL_MS);
  take(next);
  assert.deepEqual(seen(), ["comes", "stays"]);
  for (const { changes } of [here, there, next]) assert.deepEqual(changes(), ["+comes"]);
  assert.deepEqual(world.violations, []);
});

Deno.test("a client of a Shield that has just noticed that it was disconnected misses nobody", () => {
  const { world, run, other, here, there, table, seen, comes } = setUp();
  world.detach(other.life.id, STILL_MS, NOTICED_MS);
  comes();
  assert.deepEqual(there.changes(), []);
  // It has reconnected to NATS just now.
  run(STILL_MS - 1_000);
  const next = follow(other);
  run(1_000);
  table.begin(next.list());
  assert.deepEqual(seen(), ["comes", "stays"]);
  for (const { changes } of [here, there]) assert.deepEqual(changes(), ["+comes"]);
  assert.deepEqual(world.violations, []);
});
