/**
 * A client that loses its connection while another Shield's NATS server stalls: the machines themselves, and the SDK's
 * list. No Shield reports that a member left, and yet the client's list lacks one for a while: its new list is older
 * than the previous one.
 */
import assert from "node:assert/strict";
import { encodePresenceUpdate } from "@arqon/proto";
import { MemberTable } from "../../sdk/typescript/presence/presence.ts";
import { presenceConfig } from "../../shield/presence/testing/port.ts";
import { memberOf as memberWith } from "../../shared/presence/testing/members.ts";
import type { PresenceWatch, RoomChanges } from "../../shield/presence/presence.ts";
import type { Schedule } from "./schedule.ts";
import { type ShieldProcess, World } from "./world.ts";

const SCHEDULE: Schedule = {
  seed: 7,
  orderly: false,
  shields: 2,
  brains: 1,
  tenants: 1,
  rooms: 1,
  config_name: "default",
  config: presenceConfig(),
  wire: true,
  frozen: true,
  skew_ms: {},
  quiet_ms: 0,
  actions: [],
};
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
  const world = new World(SCHEDULE);
  const run = (ms: number) => world.timeline.runUntil(world.now() + ms);
  for (const id of world.ids()) world.start(id, 0);
  run(5_000);
  const [one, other] = world.shields.values() as unknown as [ShieldProcess, ShieldProcess];
  other.machine.join(memberOf("stays"));
  run(1_000);
  const [here, there] = [follow(one), follow(other)];
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
