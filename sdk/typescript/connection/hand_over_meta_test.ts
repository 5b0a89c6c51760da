// A member's metadata during a move to another Shield, with a scripted peer: the final Shield must have the metadata
// that the program knows to be accepted.
import assert from "node:assert/strict";
import { type ClientOperation, encodePong } from "@arqon/proto";
import { until } from "../../../shared/testing/until.ts";
import { connect, type PresenceSubscription } from "../mod.ts";
import { type Line, listOf, quick, ROOM, startPeer } from "../testing/scripted_peer.ts";

/** A SUB as a Shield sees it. */
interface Sub {
  /** On which socket. */
  readonly index: number;
  readonly meta: unknown;
  accept(): void;
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

/** A member of a room with metadata 1; `answer` decides on each SUB. */
async function start(answer: (sub: Sub, subs: readonly Sub[]) => void): Promise<Scene> {
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
      meta: JSON.parse(new TextDecoder().decode(subscribe.member_meta)),
      accept: () => line.accept(subscribe, listOf([])),
      refuse: () => line.refuse(subscribe, 503, "spine-unavailable", 1),
    };
    subs.push(sub);
    answer(sub, subs);
  };
  const peer = startPeer({ hear: (line, operation) => void hear(line, operation) });
  const connection = await connect({ ...quick(peer.url).options, random: () => 0 });
  const lobby = connection.room(ROOM).subscribe({ presence: true, member_meta: 1 });
  return {
    lobby,
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
