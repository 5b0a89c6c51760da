// Aborting within every await, against a peer that answers nothing: the signal's reason is thrown at once, unsent
// requests are not sent, and no listener stays on the signal. Deno's sanitizers check for timers, sockets and
// operations (CLEAN).
import assert from "node:assert/strict";
import { connect, holdLock, withLock } from "./mod.ts";
import type { Connection, ConnectOptions, Room } from "./mod.ts";
import { roomState } from "./state.ts";
import { history } from "./history.ts";
import { CLEAN, countedSignal, countedSockets } from "./testing/counted.ts";
import { type Peer, quick, startPeer } from "./testing/scripted_peer.ts";

/** A peer that only sends WELCOME, and the received frames. */
function silentPeer(): { readonly peer: Peer; readonly came: string[]; next(): Promise<void> } {
  const came: string[] = [];
  let received = Promise.withResolvers<void>();
  const peer = startPeer({
    hear(_line, { kind }) {
      came.push(kind);
      received.resolve();
      received = Promise.withResolvers();
    },
  });
  return { peer, came, next: () => received.promise };
}

const REASON = new Error("the user has left the page");
const isReason = (error: unknown) => error === REASON;

/** Begins `work` with a signal, waits for `until`, aborts, and checks the rejection. */
async function abortedIn(
  work: (signal: AbortSignal) => Promise<unknown>,
  until: () => Promise<unknown> = () => Promise.resolve(),
): Promise<void> {
  const counted = countedSignal();
  const waiting = until();
  const begun = work(counted.signal);
  begun.catch(() => {});
  await waiting;
  assert.ok(counted.listeners > 0, "nobody listens");
  counted.abort(REASON);
  await assert.rejects(begun, isReason);
  assert.equal(counted.listeners, 0);
  await assert.rejects(async () => await work(counted.signal), isReason, "before it begins");
  assert.equal(counted.listeners, 0);
}

async function withConnection(
  work: (connection: Connection, silent: ReturnType<typeof silentPeer>) => Promise<void>,
  options: Partial<ConnectOptions> = {},
): Promise<void> {
  const silent = silentPeer();
  await using _peer = silent.peer;
  await using connection = await connect({ ...quick(silent.peer.url).options, ...options });
  await work(connection, silent);
}

Deno.test(
  "aborting connect: while the token is requested, in the handshake, and before",
  CLEAN,
  async () => {
    await using peer = startPeer({ open() {} });
    const { options } = quick(peer.url);
    const { token: _, ...tokenless } = options;
    const requests: AbortSignal[] = [];
    await abortedIn((signal) =>
      connect({
        ...tokenless,
        signal,
        getToken: (request) => {
          requests.push(request.signal);
          return new Promise(() => {});
        },
      })
    );
    assert.ok(requests.every(({ aborted }) => aborted), "the token source hears of it");
    const { webSocket, living } = countedSockets();
    await abortedIn((signal) => connect({ ...options, signal, webSocket }));
    assert.equal(living(), 0);
  },
);

Deno.test("aborting a publish or command: waiting for its ACK", CLEAN, async () => {
  await withConnection(async (connection, { next }) => {
    const room = connection.room("lobby");
    for (
      const work of [
        (signal: AbortSignal) => room.publish("x", 1, { signal }),
        (signal: AbortSignal) => room.command("own.thing", {}, { signal }),
        (signal: AbortSignal) => roomState(room).get("key", { signal }),
        (signal: AbortSignal) => roomState(room).set("key", 1, { signal, command_id: "c" }),
        (signal: AbortSignal) => room.lock({ signal }),
        (signal: AbortSignal) => history(room, {}, { signal }),
        (signal: AbortSignal) => room.kick({ user_id: "u" }, { signal }),
        (signal: AbortSignal) => room.count({ signal }),
        (signal: AbortSignal) => room.members({ signal }).next(),
        (signal: AbortSignal) => holdLock(room, { signal }),
        (signal: AbortSignal) => withLock(room, { signal }, () => assert.fail("it has no lock")),
      ]
    ) await abortedIn(work, next);
  });
});

Deno.test(
  "aborting a publish that waits for the window, or for its signature: it is not sent",
  CLEAN,
  async () => {
    await withConnection(async (connection, { came, next }) => {
      const room = connection.room("lobby");
      const sent = next();
      const first = room.publish("first", 1).catch(() => {});
      await sent;
      await abortedIn((signal) => room.publish("second", 2, { signal }));
      assert.deepEqual(came, ["publish"]);
      await connection.close();
      await first;
    }, { window: 1 });
    const signer = { sign: () => new Promise<Uint8Array>(() => {}) };
    await withConnection(async (connection, { came }) => {
      await abortedIn((signal) => connection.room("lobby").publish("x", 1, { signal }));
      assert.deepEqual(came, []);
    }, { signer });
  },
);

Deno.test(
  "aborting a publish that waits for a reconnect: it is not sent after it",
  CLEAN,
  async () => {
    const came: string[] = [];
    const back = Promise.withResolvers<void>();
    let allowed = false;
    await using peer = startPeer({
      refuse: (index) => index > 0 && !allowed,
      open(line) {
        line.welcome();
        if (line.index === 0) line.drop();
      },
      hear(_line, { kind }) {
        came.push(kind);
        back.resolve();
      },
    });
    const lost = Promise.withResolvers<void>();
    const { options } = quick(peer.url);
    await using connection = await connect({
      ...options,
      onStatus: ({ state }) => state === "waiting" && lost.resolve(),
    });
    await lost.promise;
    const room = connection.room("lobby");
    await abortedIn((signal) => room.publish("x", 1, { message_id: "m", signal }));
    allowed = true;
    const after = room.publish("after", 1, { ack: false });
    await back.promise;
    await after;
    assert.deepEqual(came, ["publish"]);
  },
);

Deno.test(
  "aborting a subscription ends loop, `ready` and changes with the reason; the room is free again",
  CLEAN,
  async () => {
    await withConnection(async (connection, { came, next }) => {
      const room = connection.room("lobby");
      await abortedIn((signal) => room.subscribe({ signal }).ready, next);
      await abortedIn(async (signal) => {
        const { presence } = room.subscribe({ signal, presence: true });
        await presence.changes().next();
      }, next);
      await abortedIn((signal) => room.listen(() => {}, { signal }).ended, next);
      const unsubscribed = next();
      await abortedIn(async (signal) => {
        for await (const _ of room.subscribe({ signal })) assert.fail("nothing was published");
      }, next);
      await unsubscribed;
      assert.ok(came.filter((kind) => kind === "subscribe").length >= 4);
    });
  },
);

Deno.test("aborting members between two of a page and between pages", CLEAN, async () => {
  const members = ["a", "b"].map((connection_id) => ({
    connection_id,
    user_id: "u",
    joined_ms: 1,
  }));
  const page = { members, connections: 3, users: 1, next: "n@1:b" };
  let pages = 0;
  await using peer = startPeer({
    hear(line, operation) {
      if (operation.kind === "publish" && ++pages === 1) line.accept(operation.envelope, page);
    },
  });
  await using connection = await connect(quick(peer.url).options);
  const taking = async (room: Room, count: number) => {
    const counted = countedSignal();
    const all = room.members({ signal: counted.signal });
    for (let n = 0; n < count; n += 1) await all.next();
    counted.abort(REASON);
    await assert.rejects(all.next(), isReason);
    assert.deepEqual([(await all.next()).done, counted.listeners], [true, 0]);
  };
  await taking(connection.room("lobby"), 1);
  pages = 0;
  await taking(connection.room("lobby"), 2);
  assert.equal(pages, 1, "the second page was not asked for");
});

Deno.test(
  "aborting the connection's signal ends a close that waits for a peer that does not answer",
  CLEAN,
  async () => {
    await using peer = startPeer();
    const counted = countedSignal();
    let closes = 0;
    // The first close does not arrive.
    const webSocket = class extends WebSocket {
      override close(): void {
        if (++closes > 1) super.close();
      }
    };
    const { signal } = counted;
    const connection = await connect({ ...quick(peer.url).options, signal, webSocket });
    const closing = connection.close();
    counted.abort(REASON);
    await closing;
    assert.equal(await connection.closed, undefined);
    assert.equal(counted.listeners, 0);
  },
);

Deno.test(
  "aborting the connection's signal ends everything that waits: 'connection-closed'",
  CLEAN,
  async () => {
    const silent = silentPeer();
    await using peer = silent.peer;
    const counted = countedSignal();
    const connection = await connect({ ...quick(peer.url).options, signal: counted.signal });
    const room = connection.room("lobby");
    const loop = room.subscribe();
    const waiting = [room.publish("x", 1), room.count(), holdLock(room)];
    const ended = Promise.allSettled(waiting);
    counted.abort(REASON);
    for (const result of await ended) {
      assert.equal(result.status === "rejected" && result.reason.reason, "connection-closed");
    }
    assert.equal((await loop.next()).done, true);
    assert.deepEqual([connection.status.state, counted.listeners], ["closed", 0]);
  },
);
