// The members of a room during a move to another Shield, with a scripted peer: the Shields receive each other's members
// with a delay, and no member may seem to leave because of that.
import assert from "node:assert/strict";
import { decodeClientFrame, encodeAck, encodeMsg, encodePong } from "@arqon/proto";
import { encodePresenceUpdate, writeEnvelope } from "@arqon/proto";
import type { ClientOperation, PresentMember } from "@arqon/proto";
import { until } from "../../../shared/testing/until.ts";
import { connect, type Presence } from "../mod.ts";
import { bytes, LIMITS, type Peer, quick, startPeer, welcome } from "../testing/scripted_peer.ts";

const ROOM = "lobby";

function member(connection_id: string): PresentMember {
  return { connection_id, user_id: `user-${connection_id}`, meta: "", joined_ms: 1 };
}

/** Both Shields in one: their lists, and their delayed answers. */
interface Cluster extends AsyncDisposable {
  readonly peer: Peer;
  readonly sockets: WebSocket[];
  /** SUBs answered, by socket. */
  readonly subs: number[];
  /** The echo that the client awaits before it leaves the old Shield. */
  release(): void;
}

/** By socket: the members of the room, and the delay of answers to SUBs. */
function startCluster(
  lists: readonly (readonly string[])[],
  answering: readonly Promise<void>[] = [],
): Cluster {
  const sockets: WebSocket[] = [];
  const subs: number[] = [];
  const released = Promise.withResolvers<void>();
  const answer = async (socket: WebSocket, index: number, operation: ClientOperation) => {
    if (operation.kind === "ping") {
      if (index === 0) await released.promise;
      return socket.send(bytes(encodePong(operation.body)));
    }
    if (operation.kind !== "subscribe") return;
    await answering[index];
    const members = (lists[index] ?? []).map((id) => ({ ...member(id), meta: null }));
    const { length } = members;
    const result = JSON.stringify({ members, connections: length, users: length, pages: 1 });
    const { request_id } = operation.subscribe;
    socket.send(bytes(encodeAck({ request_id, result: new TextEncoder().encode(result) })));
    subs[index] = (subs[index] ?? 0) + 1;
  };
  const peer = startPeer({
    open(socket) {
      sockets.push(socket);
      welcome(socket);
    },
    message(socket, data) {
      const operation = decodeClientFrame(new Uint8Array(data), LIMITS);
      void answer(socket, sockets.indexOf(socket), operation);
    },
  });
  const dispose = () => peer[Symbol.asyncDispose]();
  return { peer, sockets, subs, release: released.resolve, [Symbol.asyncDispose]: dispose };
}

function drain(socket: WebSocket): void {
  socket.send(bytes(encodeMsg(writeEnvelope({
    room_id: "",
    sender_id: "",
    signal: { kind: "DRAIN", target: "n", reason: "restart", until_ms: 60_001 },
  }))));
}

function sayJoin(socket: WebSocket, id: string): void {
  const data = encodePresenceUpdate({ members: [member(id)], connections: 3, users: 3 });
  const event = { type: "PRESENCE_UPDATE", data, content_type: "application/protobuf" };
  socket.send(bytes(encodeMsg(writeEnvelope({ room_id: ROOM, event }))));
}

/** The reported joins and leaves, by connection id. */
function follow(presence: Presence): { joined: string[]; left: string[] } {
  const joined: string[] = [], left: string[] = [];
  void (async () => {
    for await (const changes of presence.changes()) {
      joined.push(...changes.joined.map(({ connection_id }) => connection_id));
      left.push(...changes.left.map(({ connection_id }) => connection_id));
    }
  })();
  return { joined, left };
}

Deno.test("an answer of the old Shield removes no member that the next one has", async () => {
  // "b" has just joined at the next Shield: the old one does not know it yet.
  await using cluster = startCluster([["a"], ["a", "b"]]);
  const { sockets, subs } = cluster;
  await using connection = await connect({ ...quick(cluster.peer.url).options, random: () => 0 });
  using lobby = connection.room(ROOM).subscribe({ presence: true, member_meta: 1 });
  const { joined, left } = follow(lobby.presence);
  await lobby.ready;
  drain(sockets[0] as WebSocket);
  await until("b is a member", () => lobby.presence.members.has("b"));
  // It is still on the old Shield, which is asked, for it has not answered its last PING.
  await lobby.update(2);
  assert.deepEqual(subs, [2, 1]);
  assert.deepEqual([...lobby.presence.members.keys()], ["a", "b"]);
  cluster.release();
  // The next Shield receives the metadata that only the old one has.
  await until("the metadata on the next Shield", () => subs[1] === 2);
  sayJoin(sockets[1] as WebSocket, "c");
  await until("c's join", () => joined.includes("c"));
  assert.deepEqual([joined, left], [["a", "b", "c"], []]);
});

Deno.test("a member that joined before the next Shield knows it does not seem to leave", async () => {
  await using cluster = startCluster([["a"], ["a"]]);
  const { sockets, subs } = cluster;
  await using connection = await connect({ ...quick(cluster.peer.url).options, random: () => 0 });
  using lobby = connection.room(ROOM).subscribe({ presence: true, observer: true });
  const { joined, left } = follow(lobby.presence);
  await lobby.ready;
  sayJoin(sockets[0] as WebSocket, "b");
  await until("b's join", () => joined.includes("b"));
  drain(sockets[0] as WebSocket);
  await until("the SUB on the next Shield", () => subs[1] === 1);
  cluster.release();
  await until("the old one's close", () => sockets[0]?.readyState === WebSocket.CLOSED);
  assert.deepEqual([...lobby.presence.members.keys()], ["a", "b"]);
  sayJoin(sockets[1] as WebSocket, "b");
  sayJoin(sockets[1] as WebSocket, "c");
  await until("c's join", () => joined.includes("c"));
  assert.deepEqual([joined, left], [["a", "b", "c"], []]);
});

Deno.test("a member that joined does not seem to leave if the old Shield ends before the next one answers", async () => {
  const answering = Promise.withResolvers<void>();
  await using cluster = startCluster([["a"], ["a"]], [Promise.resolve(), answering.promise]);
  const { sockets } = cluster;
  await using connection = await connect({ ...quick(cluster.peer.url).options, random: () => 0 });
  using lobby = connection.room(ROOM).subscribe({ presence: true, observer: true });
  const { joined, left } = follow(lobby.presence);
  await lobby.ready;
  drain(sockets[0] as WebSocket);
  await until("the next Shield's socket", () => sockets.length === 2);
  sayJoin(sockets[0] as WebSocket, "b");
  await until("b's join", () => joined.includes("b"));
  sockets[0]?.close(1012, "restart");
  await until("the old one's close", () => sockets[0]?.readyState === WebSocket.CLOSED);
  answering.resolve();
  // Missed messages of that time are a GAP.
  await lobby.next();
  sayJoin(sockets[1] as WebSocket, "b");
  sayJoin(sockets[1] as WebSocket, "c");
  await until("c's join", () => joined.includes("c"));
  assert.deepEqual([joined, left], [["a", "b", "c"], []]);
});

Deno.test("a first SUB that the old Shield answers after the next one has does not replace the list", async () => {
  const answering = Promise.withResolvers<void>();
  await using cluster = startCluster([["a"], ["a", "b"]], [answering.promise]);
  const { sockets, subs } = cluster;
  await using connection = await connect({ ...quick(cluster.peer.url).options, random: () => 0 });
  using lobby = connection.room(ROOM).subscribe({ presence: true, member_meta: 1 });
  const { joined, left } = follow(lobby.presence);
  drain(sockets[0] as WebSocket);
  await until("b's join", () => joined.includes("b"));
  answering.resolve();
  // The first answer that counts on the session that is the present one.
  await lobby.ready;
  assert.deepEqual([...lobby.presence.members.keys()], ["a", "b"]);
  cluster.release();
  await until("the old one's close", () => sockets[0]?.readyState === WebSocket.CLOSED);
  sayJoin(sockets[1] as WebSocket, "c");
  await until("c's join", () => joined.includes("c"));
  assert.deepEqual([...lobby.presence.members.keys()], ["a", "b", "c"]);
  assert.deepEqual([joined, left, subs], [["a", "b", "c"], [], [1, 1]]);
});
