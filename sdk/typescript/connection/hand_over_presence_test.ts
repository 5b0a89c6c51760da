// The members of a room during a move to another Shield, with a scripted peer: the Shields receive each other's members
// with a delay, and no member may seem to leave because of that.
import assert from "node:assert/strict";
import { type ClientOperation, encodePong, encodePresenceUpdate } from "@arqon/proto";
import { until } from "../../../shared/testing/until.ts";
import { connect, type Presence } from "../mod.ts";
import { type Line, listOf, member, type Peer, quick } from "../testing/scripted_peer.ts";
import { ROOM, startPeer } from "../testing/scripted_peer.ts";

/** Both Shields in one: their lists, and their delayed answers. */
interface Cluster extends Peer {
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
  const subs: number[] = [];
  const released = Promise.withResolvers<void>();
  const hear = async (line: Line, operation: ClientOperation) => {
    const { index } = line;
    if (operation.kind === "ping") {
      if (index === 0) await released.promise;
      return line.send(encodePong(operation.body));
    }
    if (operation.kind !== "subscribe") return;
    await answering[index];
    line.accept(operation.subscribe, listOf(lists[index] ?? []));
    subs[index] = (subs[index] ?? 0) + 1;
  };
  const peer = startPeer({ hear: (line, operation) => void hear(line, operation) });
  return Object.assign(peer, { subs, release: released.resolve });
}

function sayJoin(line: Line | undefined, id: string): void {
  const data = encodePresenceUpdate({ members: [member(id)], connections: 3, users: 3 });
  line?.say({ event: { type: "PRESENCE_UPDATE", data, content_type: "application/protobuf" } });
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
  const { lines, subs } = cluster;
  await using connection = await connect({ ...quick(cluster.url).options, random: () => 0 });
  using lobby = connection.room(ROOM).subscribe({ presence: true, member_meta: 1 });
  const { joined, left } = follow(lobby.presence);
  await lobby.ready;
  lines[0]?.drain();
  await until("b is a member", () => lobby.presence.members.has("b"));
  // It is still on the old Shield, which is asked, for it has not answered its last PING.
  await lobby.update(2);
  assert.deepEqual(subs, [2, 1]);
  assert.deepEqual([...lobby.presence.members.keys()], ["a", "b"]);
  cluster.release();
  // The next Shield receives the metadata that only the old one has.
  await until("the metadata on the next Shield", () => subs[1] === 2);
  sayJoin(lines[1], "c");
  await until("c's join", () => joined.includes("c"));
  assert.deepEqual([joined, left], [["a", "b", "c"], []]);
});

Deno.test("a member that joined before the next Shield knows it does not seem to leave", async () => {
  await using cluster = startCluster([["a"], ["a"]]);
  const { lines, subs } = cluster;
  await using connection = await connect({ ...quick(cluster.url).options, random: () => 0 });
  using lobby = connection.room(ROOM).subscribe({ presence: true, observer: true });
  const { joined, left } = follow(lobby.presence);
  await lobby.ready;
  sayJoin(lines[0], "b");
  await until("b's join", () => joined.includes("b"));
  lines[0]?.drain();
  await until("the SUB on the next Shield", () => subs[1] === 1);
  cluster.release();
  await until("the old one's close", () => lines[0]?.is_closed === true);
  assert.deepEqual([...lobby.presence.members.keys()], ["a", "b"]);
  sayJoin(lines[1], "b");
  sayJoin(lines[1], "c");
  await until("c's join", () => joined.includes("c"));
  assert.deepEqual([joined, left], [["a", "b", "c"], []]);
});

Deno.test("a member that joined does not seem to leave if the old Shield ends before the next one answers", async () => {
  const answering = Promise.withResolvers<void>();
  await using cluster = startCluster([["a"], ["a"]], [Promise.resolve(), answering.promise]);
  const { lines } = cluster;
  await using connection = await connect({ ...quick(cluster.url).options, random: () => 0 });
  using lobby = connection.room(ROOM).subscribe({ presence: true, observer: true });
  const { joined, left } = follow(lobby.presence);
  await lobby.ready;
  lines[0]?.drain();
  await until("the next Shield's socket", () => lines.length === 2);
  sayJoin(lines[0], "b");
  await until("b's join", () => joined.includes("b"));
  lines[0]?.socket.close(1012, "restart");
  await until("the old one's close", () => lines[0]?.is_closed === true);
  answering.resolve();
  // Missed messages of that time are a GAP.
  await lobby.next();
  sayJoin(lines[1], "b");
  sayJoin(lines[1], "c");
  await until("c's join", () => joined.includes("c"));
  assert.deepEqual([joined, left], [["a", "b", "c"], []]);
});

Deno.test("a first SUB that the old Shield answers after the next one has does not replace the list", async () => {
  const answering = Promise.withResolvers<void>();
  await using cluster = startCluster([["a"], ["a", "b"]], [answering.promise]);
  const { lines, subs } = cluster;
  await using connection = await connect({ ...quick(cluster.url).options, random: () => 0 });
  using lobby = connection.room(ROOM).subscribe({ presence: true, member_meta: 1 });
  const { joined, left } = follow(lobby.presence);
  lines[0]?.drain();
  await until("b's join", () => joined.includes("b"));
  answering.resolve();
  // The first answer that counts on the session that is the present one.
  await lobby.ready;
  assert.deepEqual([...lobby.presence.members.keys()], ["a", "b"]);
  cluster.release();
  await until("the old one's close", () => lines[0]?.is_closed === true);
  sayJoin(lines[1], "c");
  await until("c's join", () => joined.includes("c"));
  assert.deepEqual([...lobby.presence.members.keys()], ["a", "b", "c"]);
  assert.deepEqual([joined, left, subs], [["a", "b", "c"], [], [1, 1]]);
});
