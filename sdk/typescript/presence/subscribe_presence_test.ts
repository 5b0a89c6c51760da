// Subscriptions with presence over real sockets, with a scripted peer: the sent frames, reconnects, and the end by a
// kick.
import assert from "node:assert/strict";
import { decodeClientFrame, encodeAck } from "@arqon/proto";
import type { ClientOperation, PresentMember, Subscribe } from "@arqon/proto";
import { connect, type Connection, type PresenceChanges } from "../mod.ts";
import { bytes, LIMITS, quick, refusedWith, startPeer, welcome } from "../testing/scripted_peer.ts";
import type { Peer } from "../testing/scripted_peer.ts";

const ROOM = "lobby";
const decoder = new TextDecoder();

function member(connection_id: string, meta = ""): PresentMember {
  return { connection_id, user_id: `user-${connection_id}`, meta, joined_ms: 1 };
}

/** The ACK of a SUB with presence. */
function accept(socket: WebSocket, sub: Subscribe, ids: readonly string[], pages = 1): void {
  const members = ids.map((id) => ({ ...member(id), meta: null }));
  const result = { members, connections: ids.length, users: ids.length, pages };
  socket.send(bytes(encodeAck({
    request_id: sub.request_id,
    result: new TextEncoder().encode(JSON.stringify(result)),
  })));
}

/** A peer that sends WELCOME and returns operations; `subs` has all received SUBs. */
function startRoom(
  hear: (socket: WebSocket, operation: ClientOperation, count: number) => void,
): { peer: Peer; subs: Subscribe[]; sockets: WebSocket[] } {
  const subs: Subscribe[] = [];
  const sockets: WebSocket[] = [];
  const peer = startPeer({
    open(socket) {
      sockets.push(socket);
      welcome(socket);
    },
    message(socket, data) {
      const operation = decodeClientFrame(new Uint8Array(data), LIMITS);
      if (operation.kind === "subscribe") subs.push(operation.subscribe);
      hear(socket, operation, subs.length);
    },
  });
  return { peer, subs, sockets };
}

const metaOf = ({ member_meta }: Subscribe) => decoder.decode(member_meta);
const open = (peer: Peer): Promise<Connection> => connect(quick(peer.url).options);

async function nextIds(changes: AsyncIterator<PresenceChanges, undefined>) {
  const { value } = await changes.next();
  assert.ok(value !== undefined, "the changes ended");
  const ids = (list: PresenceChanges["joined"]) => list.map((each) => each.connection_id).sort();
  return { joined: ids(value.joined), updated: ids(value.updated), left: ids(value.left) };
}

Deno.test("SUB has observer for an observer; without presence it has neither, and there is no list", async () => {
  const { peer, subs } = startRoom((socket, operation) => {
    if (operation.kind === "subscribe") accept(socket, operation.subscribe, []);
  });
  await using _peer = peer;
  await using connection = await open(peer);
  using observer = connection.room(ROOM).subscribe({ presence: true, observer: true });
  using plain = connection.room("other").subscribe();
  await Promise.all([observer.ready, plain.ready]);
  assert.deepEqual(subs.map(({ presence, observer }) => [presence, observer]), [
    [true, true],
    [false, false],
  ]);
  assert.equal(observer.presence.count, 0);
  assert.equal(plain.presence, undefined);
  await assert.rejects(observer.update(1), TypeError);
  await assert.rejects(plain.update(1), TypeError);
});

Deno.test("metadata under way when the connection is lost is sent with the next SUB", async () => {
  const { peer, subs } = startRoom((socket, operation, count) => {
    if (operation.kind !== "subscribe") return;
    if (count === 2) socket.close(4408, "");
    else accept(socket, operation.subscribe, ["me"]);
  });
  await using _peer = peer;
  await using connection = await open(peer);
  using room = connection.room(ROOM).subscribe({ presence: true, member_meta: 1 });
  await room.ready;
  await Promise.all([room.update(2), room.update(3)]);
  assert.equal(metaOf(subs.at(-1)!), "3");
});

Deno.test("refused metadata rejects, and the previous one stays", async () => {
  const { peer, subs, sockets } = startRoom((socket, operation, count) => {
    if (operation.kind !== "subscribe") return;
    const { request_id } = operation.subscribe;
    const refused = { request_id, code: 413, reason: "message-too-large", message: "no" };
    if (count === 2) socket.send(bytes(encodeAck(refused)));
    else accept(socket, operation.subscribe, ["me"]);
  });
  await using _peer = peer;
  await using connection = await open(peer);
  using room = connection.room(ROOM).subscribe({ presence: true, member_meta: "small" });
  await room.ready;
  await assert.rejects(room.update("large"), refusedWith("message-too-large"));
  sockets[0]?.close(4408, "");
  assert.equal((await room.next()).value?.signal?.kind, "GAP");
  await room.update("other");
  assert.deepEqual(subs.map(metaOf), ['"small"', '"large"', '"small"', '"other"']);
});

Deno.test("changes of metadata that wait for a Shield have a bound: 'too-many-pending'", async () => {
  const { peer } = startRoom(() => {});
  await using _peer = peer;
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
  const { peer, subs } = startRoom((socket, operation) => {
    if (operation.kind === "subscribe") accept(socket, operation.subscribe, ["me"]);
  });
  await using _peer = peer;
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
  assert.deepEqual((await nextIds(changes)).joined, ["me"]);
  assert.equal((await changes.next()).done, true);
  assert.equal(other.presence.count, 1);
  assert.equal(subs.length, 1);
});
