// Subscriptions with presence over real sockets, against a peer that follows a script: what is sent,
// what becomes of it over reconnects, how a kick ends.
import assert from "node:assert/strict";
import { decodeClientFrame, encodeAck, encodeMsg, encodePresenceLeave } from "@arqon/proto";
import { encodePresenceUpdate, writeEnvelope } from "@arqon/proto";
import type { ClientOperation, EnvelopeInput, PresentMember, Subscribe } from "@arqon/proto";
import { connect, type Connection, type Message, type PresenceChanges } from "../mod.ts";
import { bytes, LIMITS, quick, refusedWith, startPeer, welcome } from "../testing/scripted_peer.ts";
import type { Peer } from "../testing/scripted_peer.ts";

const ROOM = "lobby";
const decoder = new TextDecoder();

function member(connection_id: string, meta = ""): PresentMember {
  return { connection_id, user_id: `user-${connection_id}`, meta, joined_ms: 1 };
}

function say(socket: WebSocket, envelope: EnvelopeInput): void {
  socket.send(bytes(encodeMsg(writeEnvelope({ room_id: ROOM, ...envelope }))));
}

function sayPresence(socket: WebSocket, type: string, data: Uint8Array): void {
  say(socket, { event: { type, data, content_type: "application/protobuf" } });
}

function sayUpdate(socket: WebSocket, members: readonly PresentMember[], snapshot = false): void {
  const data = encodePresenceUpdate({ members, connections: 3, users: 2, snapshot });
  sayPresence(socket, "PRESENCE_UPDATE", data);
}

function sayLeave(socket: WebSocket, id: string): void {
  const data = encodePresenceLeave({ members: [member(id)], connections: 3, users: 2 });
  sayPresence(socket, "PRESENCE_LEAVE", data);
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

/** A peer that says WELCOME and hands out operations; all SUBs that came are in `subs`. */
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

const rest = (messages: AsyncIterable<Message>) => Array.fromAsync(messages);

Deno.test("a subscription with presence is ready when every page is there; events are not messages", async () => {
  const { peer, subs } = startRoom((socket, operation) => {
    if (operation.kind !== "subscribe") return;
    accept(socket, operation.subscribe, ["a", "b"], 2);
    sayUpdate(socket, [member("c", '{"n":1}')], true);
    sayLeave(socket, "a");
    say(socket, { event: { type: "chat", data: new Uint8Array([1]) } });
    say(socket, {
      sender_id: "svc",
      event: { type: "PRESENCE_UPDATE", data: new Uint8Array([9]) },
    });
  });
  await using _peer = peer;
  await using connection = await open(peer);
  using room = connection.room(ROOM).subscribe({ presence: true, member_meta: { name: "Ann" } });
  await room.ready;
  assert.ok(room.presence.members.has("c"));
  assert.equal((await room.next()).value?.type, "chat");
  assert.deepEqual([...room.presence.members.keys()].sort(), ["b", "c"]);
  assert.deepEqual(room.presence.members.get("c")?.meta, { n: 1 });
  assert.deepEqual([room.presence.count, room.presence.users], [2, 2]);
  // What a sender calls so is a message: only the Shield has no name.
  assert.equal((await room.next()).value?.sender, "svc");
  assert.equal(subs[0]?.presence, true);
  assert.equal(subs[0]?.observer, false);
  assert.equal(metaOf(subs[0]!), '{"name":"Ann"}');
});

Deno.test("an observer says so; without presence nothing is said and there is no list", async () => {
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

Deno.test("update sends the metadata, and a reconnect sends the newest", async () => {
  const { peer, subs, sockets } = startRoom((socket, operation) => {
    if (operation.kind === "subscribe") accept(socket, operation.subscribe, ["me"]);
  });
  await using _peer = peer;
  await using connection = await open(peer);
  using room = connection.room(ROOM).subscribe({ presence: true, member_meta: "here" });
  // Said before the SUB is answered: it goes right after it.
  await room.update("busy");
  await Promise.all([room.update("away"), room.update("asleep")]);
  assert.deepEqual(subs.map(metaOf), ['"here"', '"busy"', '"away"', '"asleep"']);
  sockets[0]?.close(4408, "");
  assert.equal((await room.next()).value?.signal?.kind, "GAP");
  await room.update("back");
  assert.deepEqual(subs.slice(4).map(metaOf), ['"asleep"', '"back"']);
});

Deno.test("metadata that is on its way when the connection drops goes with the next SUB", async () => {
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

Deno.test("metadata that is refused rejects, and the old one stands", async () => {
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

Deno.test("a kick is told by the last message, ends loops and changes, and is not answered by a SUB", async () => {
  const { peer, subs, sockets } = startRoom((socket, operation) => {
    if (operation.kind !== "subscribe") return;
    accept(socket, operation.subscribe, ["me"]);
    if (operation.subscribe.room_id !== ROOM) return;
    const signal = { kind: "DISCONNECT", target: ROOM, reason: "spam", until_ms: 0 } as const;
    say(socket, { signal: { ...signal, target: "somebody" } });
    say(socket, { sender_id: "svc", signal });
    say(socket, { signal });
    sayLeave(socket, "me");
  });
  await using _peer = peer;
  await using connection = await open(peer);
  using kicked = connection.room(ROOM).subscribe({ presence: true });
  const changes = kicked.presence.changes();
  const told = (await rest(kicked)).map(({ sender, signal }) => [sender, signal?.target]);
  assert.deepEqual(told, [["", "somebody"], ["svc", ROOM], ["", ROOM]]);
  await changes.next();
  assert.equal((await changes.next()).done, true);
  await assert.rejects(kicked.update(1), refusedWith("connection-closed"));
  using other = connection.room("other").subscribe({ presence: true });
  await other.ready;
  sockets[0]?.close(4408, "");
  assert.equal((await other.next()).value?.signal?.kind, "GAP");
  await other.update(1);
  assert.deepEqual(subs.map((sub) => sub.room_id), [ROOM, "other", "other", "other"]);
  // The program may.
  using again = connection.room(ROOM).subscribe({ presence: true });
  assert.equal((await again.next()).value?.signal?.target, "somebody");
});

Deno.test("a ban from the room is told and ends the loop, and subscribing again is refused: 'room-banned'", async () => {
  const { peer } = startRoom((socket, operation, count) => {
    if (operation.kind !== "subscribe") return;
    const { request_id } = operation.subscribe;
    const banned = { request_id, code: 403, reason: "room-banned", message: "no" };
    if (count === 2) return socket.send(bytes(encodeAck(banned)));
    socket.send(bytes(encodeAck({ request_id })));
    say(socket, { signal: { kind: "BAN", target: ROOM, reason: "spam", until_ms: 9 } });
  });
  await using _peer = peer;
  await using connection = await open(peer);
  const [last, ...others] = await rest(connection.room(ROOM).subscribe());
  assert.deepEqual([last?.signal?.kind, last?.signal?.until_ms, others], ["BAN", 9, []]);
  const again = connection.room(ROOM).subscribe();
  await assert.rejects(again.next(), refusedWith("room-banned"));
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

Deno.test("loops on one room share the list and must agree on how it is heard", async () => {
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
