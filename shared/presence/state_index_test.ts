/** How a replica indexes rooms, users and connections, in small rooms and in large ones. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  countOnline,
  createState,
  entriesOf,
  join,
  leave,
  markDown,
  markUp,
  memberCount,
  merge,
  ofConnection,
  online,
  onlineRooms,
  takeDelta,
  update,
} from "./state.ts";
import type { PresenceState } from "./state.ts";
import { findRoom } from "./state_index.ts";
import { delta, enter, entry, member, NOW, TENANT, writer } from "./testing/replicas.ts";
import { allOnline, Watched } from "./testing/watched.ts";
import type { Writer } from "./types.ts";

const A = writer("a");
const B = writer("b");

const step = fc.record({
  act: fc.constantFrom("toggle", "toggle", "toggle", "toggle", "update", "down", "up"),
  node: fc.nat(1),
  who: fc.nat(11),
  room: fc.nat(5),
});

Deno.test("rooms, users and order stay right as rooms grow and shrink past every threshold", () => {
  fc.assert(fc.property(fc.array(step, { maxLength: 150, size: "max" }), (steps) => {
    const shields = [createState(A), createState(B)];
    const brain = new Watched(createState());
    for (const { self } of shields) brain.mark(markUp, self!);
    for (const { act, node, who, room } of steps) {
      const shield = shields[node]!;
      const self = shield.self!;
      // Few rooms with most members in one; users of both issuers, some with several connections.
      const room_id = room < 4 ? "lobby" : `room${room}`;
      const of = { user_id: `user${who % 7}`, issuer: `idp${who % 2}` };
      const connection_id = `${self.node_id}${who}`;
      if (act === "down" || act === "up") brain.mark(act === "up" ? markUp : markDown, self);
      else if (act === "update") update(shield, TENANT, room_id, connection_id, `${who}`, NOW);
      else if (leave(shield, TENANT, room_id, connection_id) === undefined) {
        join(shield, member(connection_id, room_id, of), NOW);
      }
      const taken = takeDelta(shield);
      if (taken !== undefined) brain.take(merge, taken);
      assertBirthOrder(brain.state);
    }
    for (const { self } of shields) brain.mark(markUp, self!);
    assert.deepEqual(allOnline(brain.state), shields.flatMap(allOnline).sort());
  }));
});

function assertBirthOrder(state: PresenceState): void {
  for (const { room_id } of onlineRooms(state)) {
    const last = new Map<Writer["node_id"], number>();
    for (const { writer: { node_id }, entry: { counter } } of online(state, TENANT, room_id)) {
      assert.ok((last.get(node_id) ?? 0) < counter);
      last.set(node_id, counter);
    }
  }
}

Deno.test("only a large room counts its users in a Map", () => {
  const a = createState(A);
  const map = () => findRoom(a, TENANT, "lobby")?.by_user;
  for (let n = 0; n < 8; n++) enter(a, `c${n}`);
  assert.equal(map(), undefined);
  enter(a, "c8");
  assert.equal(map()?.get("idp")?.size, 9);
  for (let n = 8; n > 4; n--) leave(a, TENANT, "lobby", `c${n}`);
  assert.equal(map()?.get("idp")?.size, 5);
  leave(a, TENANT, "lobby", "c4");
  assert.equal(map(), undefined);
});

Deno.test("rooms with the same name are separate in different tenants", () => {
  const a = createState(A);
  join(a, member("c1", "lobby", { tenant_id: "acme" }), NOW);
  join(a, member("c2", "lobby", { tenant_id: "globex" }), NOW);
  assert.deepEqual([...onlineRooms(a)], [
    { tenant_id: "acme", room_id: "lobby" },
    { tenant_id: "globex", room_id: "lobby" },
  ]);
  const names = [...online(a, "globex", "lobby")].map((held) => held.entry.connection_id);
  assert.deepEqual(names, ["c2"]);
  leave(a, "globex", "lobby", "c2");
  assert.deepEqual([...onlineRooms(a)], [{ tenant_id: "acme", room_id: "lobby" }]);
});

Deno.test("a connection id of two writers is found at both, each keeps its own, and it counts once", () => {
  const brain = createState();
  for (const each of [A, B]) {
    markUp(brain, each);
    merge(brain, delta(each, 0, 2, [entry(1, "x"), entry(2, "x", "den")]));
  }
  assert.deepEqual(countOnline(brain, TENANT, "lobby"), { connections: 1, users: 1 });
  merge(brain, delta(A, 2, 4, [], [1, 2]));
  const left = [...ofConnection(brain, "x")].map((held) =>
    `${held.writer.node_id} ${held.entry.room_id}`
  );
  assert.deepEqual(left, ["b den", "b lobby"]);
  assert.deepEqual(countOnline(brain, TENANT, "lobby"), { connections: 1, users: 1 });
});

Deno.test("hidden members are held and counted, but in no room", () => {
  const brain = createState();
  markUp(brain, A);
  merge(brain, delta(A, 0, 2, [entry(1, "x"), entry(2, "y")]));
  markDown(brain, A);
  assert.deepEqual([...onlineRooms(brain)], []);
  assert.deepEqual(countOnline(brain, TENANT, "lobby"), { connections: 0, users: 0 });
  assert.equal(memberCount(brain), 2);
  assert.deepEqual([...entriesOf(brain, A)].map(({ connection_id }) => connection_id), ["x", "y"]);
  assert.deepEqual([...entriesOf(brain, B)], []);
});
