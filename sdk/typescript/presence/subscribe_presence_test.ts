// Subscriptions with presence over real sockets, with a scripted peer: the sent frames, reconnects, and the end by a
// kick.
import assert from "node:assert/strict";
import type { Subscribe } from "@arqon/proto";
import { connect, type Connection } from "../mod.ts";
import { listOf, quick, refusedWith, ROOM, startRoom } from "../testing/scripted_peer.ts";

const decoder = new TextDecoder();
const metaOf = ({ member_meta }: Subscribe) => decoder.decode(member_meta);
const open = ({ url }: { url: string }): Promise<Connection> => connect(quick(url).options);

Deno.test("SUB has observer for an observer; without presence it has neither, and there is no list", async () => {
  await using peer = startRoom((line, sub) => line.accept(sub, listOf([])));
  await using connection = await open(peer);
  using observer = connection.room(ROOM).subscribe({ presence: true, observer: true });
  using plain = connection.room("other").subscribe();
  await Promise.all([observer.ready, plain.ready]);
  assert.deepEqual(peer.subs.map(({ presence, observer }) => [presence, observer]), [
    [true, true],
    [false, false],
  ]);
  assert.equal(observer.presence.count, 0);
  assert.equal(plain.presence, undefined);
  await assert.rejects(observer.update(1), TypeError);
  await assert.rejects(plain.update(1), TypeError);
});

Deno.test("metadata under way when the connection is lost is sent with the next SUB", async () => {
  await using peer = startRoom((line, sub, count) =>
    count === 2 ? line.drop() : line.accept(sub, listOf(["me"]))
  );
  await using connection = await open(peer);
  using room = connection.room(ROOM).subscribe({ presence: true, member_meta: 1 });
  await room.ready;
  await Promise.all([room.update(2), room.update(3)]);
  assert.equal(metaOf(peer.subs.at(-1)!), "3");
});

Deno.test("refused metadata rejects, and the previous one stays", async () => {
  await using peer = startRoom((line, sub, count) =>
    count === 2 ? line.refuse(sub, 413, "message-too-large") : line.accept(sub, listOf(["me"]))
  );
  await using connection = await open(peer);
  using room = connection.room(ROOM).subscribe({ presence: true, member_meta: "small" });
  await room.ready;
  await assert.rejects(room.update("large"), refusedWith("message-too-large"));
  peer.line.drop();
  assert.equal((await room.next()).value?.signal?.kind, "GAP");
  await room.update("other");
  assert.deepEqual(peer.subs.map(metaOf), ['"small"', '"large"', '"small"', '"other"']);
});

Deno.test("changes of metadata that wait for a Shield have a bound: 'too-many-pending'", async () => {
  await using peer = startRoom(() => {});
  await using connection = await open(peer);
  using room = connection.room(ROOM).subscribe({ presence: true });
  const waiting = Array.from({ length: 256 }, (_, n) => room.update(n));
  const refused = Promise.allSettled(waiting);
  await assert.rejects(room.update(0), refusedWith("too-many-pending"));
  room.close();
  for (const result of await refused) {
    assert.ok(result.status === "rejected" && refusedWith("connection-closed")(result.reason));
  }
});

Deno.test("loops on one room share the list and must have equal options", async () => {
  await using peer = startRoom((line, sub) => line.accept(sub, listOf(["me"])));
  await using connection = await open(peer);
  const room = connection.room(ROOM);
  const one = room.subscribe({ presence: true, member_meta: { a: 1 } });
  await one.ready;
  using other = room.subscribe({ presence: true, member_meta: { a: 1 } });
  await other.ready;
  assert.throws(() => room.subscribe(), /presence = true/);
  assert.throws(() => room.subscribe({ presence: true, observer: true }), /observer = false/);
  assert.throws(() => room.subscribe({ presence: true, member_meta: 2 }), /other member_meta/);
  assert.throws(() => connection.room("x").subscribe({ observer: true }), /needs presence/);
  assert.throws(() => connection.room("x").subscribe({ member_meta: 1 }), /needs presence/);
  assert.throws(
    () => connection.room("x").subscribe({ presence: true, observer: true, member_meta: 1 }),
    /member_meta needs presence: true and no observer/,
  );
  const changes = one.presence.changes();
  one.close();
  const { value: last } = await changes.next();
  assert.deepEqual(last?.joined.map(({ connection_id }) => connection_id), ["me"]);
  assert.equal((await changes.next()).done, true);
  assert.equal(other.presence.count, 1);
  assert.equal(peer.subs.length, 1);
});
