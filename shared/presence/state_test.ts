/**
 * One and two replicas: groups B, C and D of the presence scenarios. A scenario's topic is a room,
 * its owner a connection, its key a user.
 */
import assert from "node:assert/strict";
import {
  allClocks,
  clockOf,
  createState,
  entryOf,
  forget,
  join,
  leave,
  markDown,
  markUp,
  mergeFull,
  ofConnection,
  online,
  takeDelta,
  update,
} from "./state.ts";
import {
  byNode,
  connected,
  delta,
  drafted,
  enter,
  listed,
  member,
  mergeState,
  namesOf,
  NOW,
  rows,
  tagOf,
  TENANT,
  writer,
} from "./testing/replicas.ts";

const nothing = { joins: [], leaves: [] };

Deno.test("B1 a new replica has nothing to tell", () => {
  const a = createState(writer("a"));
  assert.deepEqual(drafted(a), delta(writer("a"), 0, 0));
  assert.equal(takeDelta(a), undefined);
});

Deno.test("B2 a connection is listed from join to leave", () => {
  const a = createState(writer("a"));
  enter(a, "john");
  assert.deepEqual(listed(a), ["john"]);
  assert.equal(leave(a, TENANT, "lobby", "john")?.entry.connection_id, "john");
  assert.deepEqual(listed(a), []);
});

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

Deno.test("B4 a user's connections are found with their own metadata", () => {
  const a = createState(writer("a"));
  join(a, member("p", "topic", { user_id: "key1", meta: '{"device":"browser"}' }), NOW);
  join(a, member("q", "topic", { user_id: "key1", meta: '{"device":"ios"}' }), NOW);
  join(a, member("r", "topic", { user_id: "key2", meta: '{"device":"ios"}' }), NOW);
  const metas = (room_id: string, user_id: string) =>
    [...online(a, TENANT, room_id)].filter(({ entry }) => entry.user_id === user_id)
      .map(({ entry }) => `${entry.connection_id} ${entry.meta}`);
  assert.deepEqual(metas("topic", "key1"), ['p {"device":"browser"}', 'q {"device":"ios"}']);
  assert.deepEqual(metas("other", "key1"), []);
  assert.deepEqual(metas("topic", "unknown"), []);
});

Deno.test("B6 leaving what one does not hold moves nothing", () => {
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

Deno.test("C1 states merge both ways, and the second time nothing happens", () => {
  const { a, b } = aliceAndBob();
  assert.deepEqual(namesOf(...mergeState(a, b)), { joins: ["bob"], leaves: [] });
  assert.deepEqual(listed(a), ["alice", "bob"]);
  const before = [rows(a, "alice"), rows(a, "bob"), allClocks(a)];
  assert.deepEqual(namesOf(...mergeState(a, b)), nothing);
  assert.deepEqual([rows(a, "alice"), rows(a, "bob"), allClocks(a)], before);
  assert.deepEqual(listed(a), ["alice", "bob"]);
  assert.deepEqual(namesOf(...mergeState(b, a)), { joins: ["alice"], leaves: [] });
  assert.deepEqual(namesOf(...mergeState(b, a)), nothing);
});

function bobAlone() {
  const { a, b } = aliceAndBob();
  mergeState(a, b);
  mergeState(b, a);
  leave(a, TENANT, "lobby", "alice");
  return { a, b };
}

Deno.test("C2 a removal is observed", () => {
  const { a, b } = bobAlone();
  assert.deepEqual(namesOf(...mergeState(b, a)), { joins: [], leaves: ["alice"] });
  assert.deepEqual(listed(b), ["bob"]);
  assert.deepEqual([rows(b, "alice"), rows(b, "bob")], [[], ["b@1:1 lobby"]]);
  assert.deepEqual(namesOf(...mergeState(b, a)), nothing);
});

Deno.test("C3 the lists become equal, tags included", () => {
  const { a, b } = bobAlone();
  mergeState(b, a);
  enter(b, "carol");
  assert.deepEqual(namesOf(...mergeState(a, b)), { joins: ["carol"], leaves: [] });
  const tags = (state: typeof a) => [...online(state, TENANT, "lobby")].map(tagOf).sort();
  assert.deepEqual(tags(a), ["b@1:1", "b@1:2"]);
  assert.deepEqual(tags(b), tags(a));
});

Deno.test("C4 an update is a leave and a join of one connection in one merge", () => {
  const { a, b } = aliceAndBob();
  const born = join(b, member("carol"), NOW).entry;
  mergeState(a, b);
  const { entry, previous } = update(b, TENANT, "lobby", "carol", '{"updated":true}', NOW + 5)!;
  assert.deepEqual(previous, born);
  assert.deepEqual(entry, {
    ...born,
    counter: 4,
    meta: '{"updated":true}',
    changed_ms: NOW + 5,
  });
  const from = writer("b");
  const [{ joins, leaves }] = mergeState(a, b) as [ReturnType<typeof mergeFull>];
  assert.deepEqual(joins, [{ writer: from, entry }]);
  assert.deepEqual(leaves, [{ writer: from, entry: born }]);
  assert.deepEqual(namesOf(...mergeState(a, b)), nothing);
  assert.deepEqual(rows(a, "carol"), ["b@1:4 lobby"]);
});

Deno.test("C6 a peer cannot remove own entries, whatever it says", () => {
  const { a, b } = aliceAndBob();
  const forged = mergeFull(a, delta(writer("a"), 0, 99));
  assert.equal(forged.outcome, "refused");
  mergeState(a, b);
  assert.deepEqual(listed(a), ["alice", "bob"]);
});

Deno.test("D1 down hides and up restores, with nothing lost", () => {
  const { a, b } = aliceAndBob();
  mergeState(a, b);
  enter(a, "carol");
  leave(a, TENANT, "lobby", "alice");
  enter(a, "david");
  assert.deepEqual(namesOf(markDown(a, writer("b"))), { joins: [], leaves: ["bob"] });
  assert.deepEqual(listed(a), ["carol", "david"]);
  assert.deepEqual(namesOf(...mergeState(a, b)), nothing);
  assert.deepEqual(listed(a), ["carol", "david"]);
  assert.deepEqual(namesOf(markDown(a, writer("b"))), nothing);
  assert.deepEqual(namesOf(markUp(a, writer("b"))), { joins: ["bob"], leaves: [] });
  assert.deepEqual(namesOf(markUp(a, writer("b"))), nothing);
  assert.deepEqual(listed(a), ["bob", "carol", "david"]);
  assert.deepEqual(rows(a, "bob"), ["b@1:1 lobby"]);
});

Deno.test("D2 a room shows who is up, with several down", () => {
  const [one, two, three] = connected("1", "2", "3");
  enter(one!, "key1", "topic");
  enter(one!, "key2", "topic");
  enter(two!, "user2", "topic");
  enter(three!, "user3", "topic");
  mergeState(one!, two!);
  mergeState(one!, three!);
  const list = () => [listed(one!, "topic"), listed(one!, "other")];
  assert.deepEqual(list(), [["key1", "key2", "user2", "user3"], []]);
  markDown(one!, writer("2"));
  assert.deepEqual(list(), [["key1", "key2", "user3"], []]);
  markDown(one!, writer("3"));
  assert.deepEqual(list(), [["key1", "key2"], []]);
});

Deno.test("D3 a fresh replica knows everybody at 0", () => {
  for (const state of connected("1", "2", "3")) {
    assert.deepEqual(byNode(allClocks(state)), { 1: 0, 2: 0, 3: 0 });
  }
});

Deno.test("D4 forgetting purges: nothing comes back from the dead", () => {
  const [one, two] = connected("1", "2");
  enter(one!, "alice");
  enter(two!, "bob");
  mergeState(two!, one!);
  markDown(two!, writer("1"));
  assert.deepEqual([rows(two!, "alice"), rows(two!, "bob")], [["1@1:1 lobby"], ["2@1:1 lobby"]]);
  assert.deepEqual(namesOf(forget(two!, writer("1"))), nothing);
  assert.deepEqual([rows(two!, "alice"), rows(two!, "bob")], [[], ["2@1:1 lobby"]]);
  assert.deepEqual(namesOf(markUp(two!, writer("1"))), nothing);
  assert.deepEqual(listed(two!), ["bob"]);
  assert.equal(clockOf(two!, writer("1")), 0);
});

Deno.test("D4 forgetting a writer that is up shows its members leaving", () => {
  const [one, two] = connected("1", "2");
  enter(one!, "alice");
  mergeState(two!, one!);
  assert.deepEqual(namesOf(forget(two!, writer("1"))), { joins: [], leaves: ["alice"] });
  assert.deepEqual(namesOf(forget(two!, writer("1"))), nothing);
  assert.equal(clockOf(two!, writer("1")), undefined);
});
