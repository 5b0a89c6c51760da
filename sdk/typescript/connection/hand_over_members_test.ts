// The members of a room and the own metadata during a move to another Shield, with a scripted peer: the Shields receive
// each other's members with a delay, and no member may seem to leave because of that; the final Shield must have the
// metadata that the program knows to be accepted.
import assert from "node:assert/strict";
import { type ClientOperation, encodePong, encodePresenceUpdate } from "@arqon/proto";
import { until } from "../../../shared/testing/until.ts";
import { connect, type Presence, type PresenceSubscription } from "../mod.ts";
import { type Line, listOf, member, quick, ROOM, startPeer } from "../testing/scripted_peer.ts";

/** A SUB as a Shield sees it. */
interface Sub {
  /** On which socket. */
  readonly index: number;
  readonly meta: unknown;
  accept(members?: readonly string[]): void;
  /** 503, for now. */
  refuse(): void;
}

interface Scene extends AsyncDisposable {
  readonly lobby: PresenceSubscription;
  readonly lines: readonly Line[];
  readonly subs: Sub[];
  /** Metadata by socket, in the order of the SUBs. */
  metaOf(index: number): unknown[];
  /** The answer to the PING that the client awaits before it leaves the old Shield. */
  release(): void;
}

/** Both Shields, and a member of their room with metadata 1, or an observer; `answer` decides on each SUB. */
async function start(
  answer: (sub: Sub, subs: readonly Sub[]) => void,
  role: { readonly observer?: true } = {},
): Promise<Scene> {
  const subs: Sub[] = [];
  const released = Promise.withResolvers<void>();
  const hear = async (line: Line, operation: ClientOperation) => {
    const { index } = line;
    if (operation.kind === "ping") {
      if (index === 0) await released.promise;
      return line.send(encodePong(operation.body));
    }
    if (operation.kind !== "subscribe") return;
    const { subscribe } = operation;
    const sub: Sub = {
      index,
      meta: role.observer || JSON.parse(new TextDecoder().decode(subscribe.member_meta)),
      accept: (members = []) => line.accept(subscribe, listOf(members)),
      refuse: () => line.refuse(subscribe, 503, "spine-unavailable", 1),
    };
    subs.push(sub);
    answer(sub, subs);
  };
  const peer = startPeer({ hear: (line, operation) => void hear(line, operation) });
  const connection = await connect({ ...quick(peer.url).options, random: () => 0 });
  const meta = role.observer ? role : { member_meta: 1 };
  return {
    lobby: connection.room(ROOM).subscribe({ presence: true, ...meta }),
    lines: peer.lines,
    subs,
    metaOf: (index) => subs.filter((sub) => sub.index === index).map(({ meta }) => meta),
    release: released.resolve,
    async [Symbol.asyncDispose]() {
      await connection.close();
      await peer[Symbol.asyncDispose]();
    },
  };
}

/** By socket: the members of the room, and the delay of answers to SUBs. */
const lists = (
  members: readonly (readonly string[])[],
  answering: readonly Promise<void>[] = [],
) =>
(sub: Sub) => {
  const accept = () => sub.accept(members[sub.index]);
  const wait = answering[sub.index];
  if (wait === undefined) accept();
  else void wait.then(accept);
};

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
  await using scene = await start(lists([["a"], ["a", "b"]]));
  const { lines, lobby, metaOf } = scene;
  const { joined, left } = follow(lobby.presence);
  await lobby.ready;
  lines[0]?.drain();
  await until("b is a member", () => lobby.presence.members.has("b"));
  // It is still on the old Shield, which is asked, for it has not answered its last PING.
  await lobby.update(2);
  assert.deepEqual([metaOf(0), metaOf(1)], [[1, 2], [1]]);
  assert.deepEqual([...lobby.presence.members.keys()], ["a", "b"]);
  scene.release();
  // The next Shield receives the metadata that only the old one has.
  await until("the metadata on the next Shield", () => metaOf(1)[1] === 2);
  sayJoin(lines[1], "c");
  await until("c's join", () => joined.includes("c"));
  assert.deepEqual([joined, left], [["a", "b", "c"], []]);
});

Deno.test("a member that joined does not seem to leave if the old Shield ends before the next one answers", async () => {
  const answering = Promise.withResolvers<void>();
  const answer = lists([["a"], ["a"]], [Promise.resolve(), answering.promise]);
  await using scene = await start(answer, { observer: true });
  const { lines, lobby } = scene;
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
  await using scene = await start(lists([["a"], ["a", "b"]], [answering.promise]));
  const { lines, lobby, metaOf } = scene;
  const { joined, left } = follow(lobby.presence);
  lines[0]?.drain();
  await until("b's join", () => joined.includes("b"));
  answering.resolve();
  // The first answer that counts on the session that is the present one.
  await lobby.ready;
  assert.deepEqual([...lobby.presence.members.keys()], ["a", "b"]);
  scene.release();
  await until("the old one's close", () => lines[0]?.is_closed === true);
  sayJoin(lines[1], "c");
  await until("c's join", () => joined.includes("c"));
  assert.deepEqual([...lobby.presence.members.keys()], ["a", "b", "c"]);
  assert.deepEqual([joined, left], [["a", "b", "c"], []]);
  assert.deepEqual([metaOf(0), metaOf(1)], [[1], [1]]);
});

Deno.test("metadata that the next Shield temporarily refused is sent again", async () => {
  let refused = 0;
  await using scene = await start((sub) => {
    if (sub.index === 0 || sub.meta === 1 || ++refused > 2) sub.accept();
    else sub.refuse();
  });
  await scene.lobby.ready;
  scene.lines[0]?.drain();
  await until("the SUB on the next Shield", () => scene.metaOf(1).length === 1);
  await scene.lobby.update(2);
  scene.release();
  await until("three further SUBs arrived", () => scene.metaOf(1).length === 4);
  assert.deepEqual([scene.metaOf(0), scene.metaOf(1)], [[1, 2], [1, 2, 2, 2]]);
});

Deno.test("a late answer to a SUB from before the move does not count", async () => {
  const late: Sub[] = [];
  await using scene = await start((sub, { length }) => {
    if (sub.index === 1 && length === 2) late.push(sub);
    else sub.accept();
  });
  await scene.lobby.ready;
  scene.lines[0]?.drain();
  await until("the late SUB", () => late.length === 1);
  await scene.lobby.update(2);
  // The old Shield dies, so the client is on the next one, which has not answered yet.
  scene.lines[0]?.socket.close(1011);
  await until("the old one's close", () => scene.lines[0]?.is_closed === true);
  late[0]?.accept();
  await until("the second SUB arrived", () => scene.metaOf(1).length === 2);
  assert.deepEqual(scene.metaOf(1), [1, 2]);
});
