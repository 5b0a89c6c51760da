/**
 * One replica: what is found in it, calls without an effect, gaps in received deltas, answers to a receiver that
 * missed some, and deltas that break the rules: each is refused as a whole, with the reason, and changes nothing.
 * `state_properties_test.ts` has merges, removals, changes that travel indirectly and lives that go down and up. A
 * scenario's topic is a room, its owner a connection, its key a user. How a replica indexes rooms, users and
 * connections, in small rooms and in large ones.
 */
import assert from "node:assert/strict";
import {
  allClocks,
  clockOf,
  countOnline,
  createState,
  deltaSince,
  entriesOf,
  entryOf,
  forget,
  heartbeatDelta,
  join,
  leave,
  markDown,
  markUp,
  memberCount,
  merge,
  mergeFull,
  type MergeOutcome,
  ofConnection,
  online,
  onlineRooms,
  PENDING_DELTAS_MAX,
  type PresenceState,
  takeDelta,
  update,
} from "./state.ts";
import {
  connected,
  delta,
  drafted,
  enter,
  entry,
  listed,
  member,
  mergeState,
  namesOf,
  NOW,
  pendingDeltas,
  tagOf,
  TENANT,
  writer,
} from "./testing/replicas.ts";
import type { Delta, Writer } from "./types.ts";
import fc from "fast-check";
import { findRoom } from "./state_index.ts";
import { allOnline, Watched } from "./testing/watched.ts";

Deno.test("nothing looks through the entries of a connection in many rooms to find one", () => {
  const [shield, brain] = connected("s0", "b0") as [PresenceState, PresenceState];
  for (let at = 0; at < 100; at++) enter(shield, "c", `r${at}`);
  merge(brain, takeDelta(shield)!);
  const get = brain.connections.get.bind(brain.connections);
  brain.connections.get = () => assert.fail("a walk through the connection's entries");
  markDown(brain, writer("s0"));
  markUp(brain, writer("s0"));
  brain.connections.get = get;
  for (let at = 0; at < 100; at++) leave(shield, TENANT, `r${at}`, "c");
  merge(brain, takeDelta(shield)!);
  for (const { connections, crowds } of [shield, brain]) {
    assert.equal(connections.size + crowds.size, 0);
  }
});

Deno.test("B3 entries are found by connection, room and both", () => {
  const a = createState(writer("a"));
  assert.deepEqual([...ofConnection(a, "p")], []);
  const entry = join(a, member("p", "topic", { user_id: "key1" }), NOW);
  const written = { writer: writer("a"), entry };
  assert.deepEqual([...ofConnection(a, "p")], [written]);
  assert.equal(tagOf(written), "a@1:1");
  assert.equal(entryOf(a, writer("a"), member("p", "topic")), entry);
  assert.equal(entryOf(a, writer("a"), member("p", "notopic")), undefined);
  assert.equal(entryOf(a, writer("a"), member("nobody", "topic")), undefined);
  assert.equal(entryOf(a, writer("b"), member("p", "topic")), undefined);
});

Deno.test("B6 a leave of an unknown entry changes nothing", () => {
  const a = createState(writer("a"));
  enter(a, "p");
  takeDelta(a);
  assert.equal(leave(a, TENANT, "lobby", "q"), undefined);
  assert.equal(leave(a, TENANT, "other", "p"), undefined);
  assert.equal(leave(a, "globex", "lobby", "p"), undefined);
  assert.equal(update(a, TENANT, "lobby", "q", "{}", NOW), undefined);
  assert.equal(clockOf(a, writer("a")), 1);
  assert.equal(takeDelta(a), undefined);
});

function aliceAndBob() {
  const [a, b] = connected("a", "b");
  enter(a!, "alice");
  enter(b!, "bob");
  return { a: a!, b: b! };
}

Deno.test("C6 a peer cannot remove own entries, whatever it sends", () => {
  const { a, b } = aliceAndBob();
  const forged = mergeFull(a, delta(writer("a"), 0, 99));
  assert.equal(forged.outcome, "refused");
  mergeState(a, b);
  assert.deepEqual(listed(a), ["alice", "bob"]);
});

const nothing = { joins: [], leaves: [] };
const A = writer("a");

Deno.test("E4 changes of an unknown writer are ignored", () => {
  const brain = createState();
  const announced = delta(A, 0, 1, [entry(1, "alice")]);
  for (const result of [merge(brain, announced), mergeFull(brain, announced)]) {
    assert.equal(result.outcome, "unknown");
    assert.deepEqual(namesOf(result), nothing);
  }
  assert.equal(memberCount(brain), 0);
  assert.deepEqual(allClocks(brain), []);
});

Deno.test("F6 after it is taken a delta is empty and begins at the local counter", () => {
  const a = createState(A);
  enter(a, "alice");
  enter(a, "bob");
  assert.deepEqual(takeDelta(a), delta(A, 0, 2, [entry(1, "alice"), entry(2, "bob")]));
  assert.deepEqual(drafted(a), delta(A, 2, 2));
  assert.deepEqual(heartbeatDelta(a), delta(A, 2, 2));
  assert.equal(takeDelta(a), undefined);
  leave(a, TENANT, "lobby", "alice");
  assert.deepEqual(heartbeatDelta(a), delta(A, 2, 2));
  assert.deepEqual(takeDelta(a), delta(A, 2, 3, [], [1]));
});

Deno.test("a limited number of deltas waits for a hole", () => {
  const brain = createState();
  markUp(brain, A);
  for (let clock = 1; clock < 100; clock++) {
    assert.equal(merge(brain, delta(A, clock, clock + 1)).outcome, "gap");
  }
  assert.equal(pendingDeltas(brain, A).length, PENDING_DELTAS_MAX);
  assert.equal(merge(brain, delta(A, 0, 1)).outcome, "merged");
  assert.equal(clockOf(brain, A), PENDING_DELTAS_MAX + 1);

  const other = createState();
  markUp(other, A);
  merge(other, delta(A, 1, 9_000));
  merge(other, delta(A, 9_000, 11_000));
  assert.equal(pendingDeltas(other, A).length, 1);
});

Deno.test("missed changes come from the history, and everything from the current state", () => {
  const a = createState(A);
  enter(a, "alice");
  takeDelta(a);
  enter(a, "bob");
  takeDelta(a);
  leave(a, TENANT, "lobby", "alice");
  const untaken = delta(A, 2, 3, [], [1]);
  assert.deepEqual(deltaSince(a, A, 2), { full: false, delta: untaken });
  const both = delta(A, 0, 2, [entry(1, "alice"), entry(2, "bob")]);
  assert.deepEqual(deltaSince(a, A, 1), { full: false, delta: both });
  for (const clock of [3, 4]) {
    assert.deepEqual(deltaSince(a, A, clock), { full: false, delta: delta(A, 3, 3) });
  }
  assert.equal(deltaSince(a, writer("b"), 0), undefined);

  for (let turn = 0; turn < 6_000; turn++) {
    enter(a, "carol");
    leave(a, TENANT, "lobby", "carol");
    takeDelta(a);
  }
  const late = deltaSince(a, A, 3)!;
  assert.deepEqual(late, { full: true, delta: delta(A, 0, 12_003, [entry(2, "bob")]) });
  assert.equal(deltaSince(a, A, 11_990)!.full, false);
});

Deno.test("a forgotten writer leaves nothing behind", () => {
  const brain = createState();
  markUp(brain, A);
  merge(brain, delta(A, 0, 1, [entry(1, "alice")]));
  merge(brain, delta(A, 2, 3));
  forget(brain, A);
  assert.deepEqual(brain, createState());
});

Deno.test("a replica that cannot write, or is asked to doubt itself, reports it", () => {
  const brain = createState();
  for (const write of [() => enter(brain, "x"), () => takeDelta(brain), () => drafted(brain)]) {
    assert.throws(write, TypeError);
  }
  const a = createState(A);
  for (const mark of [markUp, markDown, forget]) assert.throws(() => mark(a, A), TypeError);
  enter(a, "alice");
  assert.throws(() => enter(a, "alice"), TypeError);
  assert.throws(() => join(a, member("alice", "den", { tenant_id: "globex" }), NOW), TypeError);
  assert.equal(clockOf(a, A), 1);
});

const UNSAFE = 2 ** 53;

/** A Brain that has merged a's members x (tag 2, lobby) and y (tag 3, den). */
function brain(): PresenceState {
  const state = createState();
  markUp(state, A);
  const seen = delta(A, 0, 3, [entry(2, "x"), entry(3, "y", "den")]);
  assert.equal(merge(state, seen).outcome, "merged");
  return state;
}

/** Both ways of merging give the same fault, and the state is unchanged. */
function refuses(state: PresenceState, wrong: Delta, fault: RegExp): void {
  const before = structuredClone(state);
  for (const way of wrong.start === 0 ? [merge, mergeFull] : [merge]) {
    const result = way(state, wrong);
    assert.equal(result.outcome, "refused" satisfies MergeOutcome);
    assert.match(result.fault ?? "", fault);
    assert.deepEqual([result.joins, result.leaves], [[], []]);
    assert.deepEqual(state, before);
  }
}

Deno.test("dots of its own are refused by a writer", () => {
  const a = createState(A);
  enter(a, "x");
  refuses(a, delta(A, 0, 9), /^a@1 is this replica itself$/);
  refuses(a, delta(A, 1, 2, [entry(2, "z")]), /^a@1 is this replica itself$/);
});

Deno.test("entries created outside of the delta are refused", () => {
  const outside = /^counter of an entry is \d+; expected one in \(3, 6\]$/;
  for (const counter of [0, 1, 3, 7, 99]) {
    refuses(brain(), delta(A, 3, 6, [entry(counter, "z")]), outside);
    refuses(brain(), delta(A, 3, 6, [entry(4, "v"), entry(counter, "z")]), outside);
  }
});

Deno.test("removed counters that were never announced are refused", () => {
  for (const counter of [7, UNSAFE, 0, -1, 1.5, NaN]) {
    refuses(brain(), delta(A, 3, 6, [], [2, counter]), /^removed has .*; expected 1 to 6$/);
  }
});

Deno.test("duplicate names are refused", () => {
  const twice = /^removed has \d, which is named twice$/;
  refuses(brain(), delta(A, 3, 6, [], [2, 2]), twice);
  refuses(brain(), delta(A, 3, 6, [entry(5, "z")], [5]), twice);
  refuses(brain(), delta(A, 3, 6, [entry(5, "z"), entry(5, "v")]), /^two entries with counter 5$/);
  refuses(brain(), delta(A, 3, 6, [entry(6, "z"), entry(5, "z")]), /^z is in room lobby twice$/);
  const thrice = [entry(4, "z", "one"), entry(5, "z", "two"), entry(6, "z", "one")];
  refuses(brain(), delta(A, 3, 6, thrice), /^z is in room one twice$/);
});

Deno.test("numbers that are not exact are refused", () => {
  for (const wrong of [UNSAFE, -1, 0.5, NaN, Infinity]) {
    refuses(brain(), delta(A, wrong, UNSAFE - 1), /^start is /);
    refuses(brain(), delta(A, 3, wrong), /^end is /);
    refuses(brain(), delta(A, 3, 6, [entry(wrong, "z")]), /^counter of an entry is /);
    refuses(
      brain(),
      delta(A, 3, 6, [{ ...entry(4, "z"), joined_ms: wrong }]),
      /^joined_ms of entry 4/,
    );
    refuses(
      brain(),
      delta(A, 3, 6, [{ ...entry(4, "z"), changed_ms: wrong }]),
      /^changed_ms of entry 4/,
    );
    refuses(brain(), delta(writer("a", wrong), 3, 6), /^writer.incarnation is /);
  }
  refuses(brain(), delta(A, 6, 5), /^start is 6, after end 5$/);
});

Deno.test("a connection of another tenant is refused", () => {
  const foreign = (counter: number, connection_id: string, room_id = "lobby") => ({
    ...entry(counter, connection_id, room_id),
    tenant_id: "globex",
  });
  refuses(brain(), delta(A, 3, 4, [foreign(4, "x")]), /^x is of tenant acme$/);
  refuses(
    brain(),
    delta(A, 2, 4, [entry(3, "y", "den"), foreign(4, "x")]),
    /^x is of tenant acme$/,
  );
  refuses(
    brain(),
    delta(A, 0, 4, [entry(3, "y", "den"), foreign(4, "y")]),
    /^y is of two tenants$/,
  );
  refuses(brain(), delta(A, 3, 6, [entry(4, "z"), foreign(5, "z")]), /^z is of two tenants$/);
  // Another node's connection of that id is another connection.
  const state = brain();
  markUp(state, writer("b"));
  assert.equal(merge(state, delta(writer("b"), 0, 1, [foreign(1, "x")])).outcome, "merged");
  // A removed one does not count.
  assert.equal(merge(state, delta(A, 3, 5, [foreign(5, "x")], [2])).outcome, "merged");
});

Deno.test("a delta that waited for a hole and is invalid is dropped, not merged", () => {
  const state = createState();
  markUp(state, A);
  const foreign = { ...entry(3, "x"), tenant_id: "globex" };
  assert.equal(merge(state, delta(A, 2, 3, [foreign])).outcome, "gap");
  const { outcome, joins } = merge(state, delta(A, 0, 2, [entry(2, "x")]));
  assert.deepEqual([outcome, joins.length, listed(state)], ["merged", 1, ["x"]]);
  assert.equal(state.replicas.get("a@1")?.clock, 2);
  assert.deepEqual(state.replicas.get("a@1")?.pending, []);
});

Deno.test("a full state begins at 0", () => {
  const state = brain();
  const before = structuredClone(state);
  const { outcome, fault } = mergeFull(state, delta(A, 2, 9));
  assert.deepEqual([outcome, fault], ["refused", "start is 2; expected 0 of a full state"]);
  assert.deepEqual(state, before);
});

Deno.test("a counter from far ahead costs nothing, and own counters end where numbers do", () => {
  const state = brain();
  const far = delta(A, 3, UNSAFE - 1, [entry(UNSAFE - 1, "z")]);
  assert.equal(merge(state, far).outcome, "merged");
  assert.equal(merge(state, delta(A, 0, UNSAFE - 1)).outcome, "stale");
  const a = createState(A);
  const own = a.replicas.get("a@1")!;
  enter(a, "x");
  own.clock = UNSAFE - 1;
  assert.throws(() => enter(a, "y"), RangeError);
  assert.throws(() => leave(a, TENANT, "lobby", "x"), RangeError);
  assert.deepEqual(listed(a), ["x"]);
});

Deno.test("for a malformed delta of an unknown writer the error is reported first", () => {
  const state = createState();
  const wrong = delta(A, 0, 1, [{ ...member("x"), counter: 2, joined_ms: NOW, changed_ms: NOW }]);
  assert.equal(merge(state, wrong).outcome, "refused");
  assert.equal(merge(state, delta(A, 0, 1)).outcome, "unknown");
});

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
