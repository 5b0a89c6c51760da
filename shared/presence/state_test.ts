/**
 * One replica: what is found in it, and calls without an effect. `state_properties_test.ts` has merges, removals and
 * lives that go down and up. A scenario's topic is a room, its owner a connection, its key a user.
 */
import assert from "node:assert/strict";
import {
  clockOf,
  createState,
  entryOf,
  join,
  leave,
  mergeFull,
  ofConnection,
  takeDelta,
  update,
} from "./state.ts";
import {
  connected,
  delta,
  enter,
  listed,
  member,
  mergeState,
  NOW,
  tagOf,
  TENANT,
  writer,
} from "./testing/replicas.ts";

Deno.test("B3 entries are found by connection, room and both", () => {
  const a = createState(writer("a"));
  assert.deepEqual([...ofConnection(a, "p")], []);
  const { entry } = join(a, member("p", "topic", { user_id: "key1" }), NOW);
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
