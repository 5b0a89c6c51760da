// A member's metadata during a move to another Shield, with a scripted peer: the final Shield must have the metadata
// that the program knows to be accepted.
import assert from "node:assert/strict";
import { decodeClientFrame, encodeAck, encodeMsg, encodePong, writeEnvelope } from "@arqon/proto";
import type { ClientOperation } from "@arqon/proto";
import { until } from "../../../shared/testing/until.ts";
import { connect, type PresenceSubscription } from "../mod.ts";
import { bytes, LIMITS, quick, startPeer, welcome } from "../testing/scripted_peer.ts";

const ROOM = "lobby";

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
  readonly sockets: WebSocket[];
  readonly subs: Sub[];
  /** Metadata by socket, in the order of the SUBs. */
  metaOf(index: number): unknown[];
  /** The answer to the PING that the client awaits before it leaves the old Shield. */
  release(): void;
}

/** A member of a room with metadata 1; `answer` decides on each SUB. */
async function start(answer: (sub: Sub, subs: readonly Sub[]) => void): Promise<Scene> {
  const sockets: WebSocket[] = [];
  const subs: Sub[] = [];
  const released = Promise.withResolvers<void>();
  const hear = async (socket: WebSocket, index: number, operation: ClientOperation) => {
    if (operation.kind === "ping") {
      if (index === 0) await released.promise;
      return socket.send(bytes(encodePong(operation.body)));
    }
    if (operation.kind !== "subscribe") return;
    const { request_id, member_meta } = operation.subscribe;
    const result = JSON.stringify({ members: [], connections: 0, users: 0, pages: 1 });
    const ok = { request_id, code: 0, result: new TextEncoder().encode(result) };
    const busy = { request_id, code: 503, reason: "spine-unavailable", retry_after_ms: 1 };
    const sub: Sub = {
      index,
      meta: JSON.parse(new TextDecoder().decode(member_meta)),
      accept: () => socket.send(bytes(encodeAck(ok))),
      refuse: () => socket.send(bytes(encodeAck(busy))),
    };
    subs.push(sub);
    answer(sub, subs);
  };
  const peer = startPeer({
    open(socket) {
      sockets.push(socket);
      welcome(socket);
    },
    message(socket, data) {
      void hear(socket, sockets.indexOf(socket), decodeClientFrame(new Uint8Array(data), LIMITS));
    },
  });
  const connection = await connect({ ...quick(peer.url).options, random: () => 0 });
  const lobby = connection.room(ROOM).subscribe({ presence: true, member_meta: 1 });
  return {
    lobby,
    sockets,
    subs,
    metaOf: (index) => subs.filter((sub) => sub.index === index).map(({ meta }) => meta),
    release: released.resolve,
    async [Symbol.asyncDispose]() {
      await connection.close();
      await peer[Symbol.asyncDispose]();
    },
  };
}

function drain({ sockets }: Scene): void {
  sockets[0]?.send(bytes(encodeMsg(writeEnvelope({
    room_id: "",
    sender_id: "",
    signal: { kind: "DRAIN", target: "n", reason: "restart", until_ms: 60_001 },
  }))));
}

const closed = (socket: WebSocket | undefined) => socket?.readyState === WebSocket.CLOSED;

Deno.test("metadata that the next Shield temporarily refused is sent again", async () => {
  let refused = 0;
  await using scene = await start((sub) => {
    if (sub.index === 0 || sub.meta === 1 || ++refused > 2) sub.accept();
    else sub.refuse();
  });
  await scene.lobby.ready;
  drain(scene);
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
  drain(scene);
  await until("the late SUB", () => late.length === 1);
  await scene.lobby.update(2);
  // The old Shield dies, so the client is on the next one, which has not answered yet.
  scene.sockets[0]?.close(1011);
  await until("the old one's close", () => closed(scene.sockets[0]));
  late[0]?.accept();
  await until("the second SUB arrived", () => scene.metaOf(1).length === 2);
  assert.deepEqual(scene.metaOf(1), [1, 2]);
});
