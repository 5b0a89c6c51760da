// Effects of the network, the page and the clock of the device: with a device that the test controls, over real
// sockets, and with a session on a test socket.
import assert from "node:assert/strict";
import { encodeWelcome } from "@arqon/proto";
import { connect, type SocketLike, type Status } from "../mod.ts";
import { openSession, type Session } from "./session.ts";
import { CLEAN, device } from "../testing/counted.ts";
import { quick, refusedWith, startPeer } from "../testing/scripted_peer.ts";
import { freePort } from "../../../tests/harness/free_ports.ts";

/** A wait that is longer than any test. */
const PATIENT = { backoff: { base_ms: 1_000_000, max_ms: 1_000_000 }, random: () => 0.999 };

Deno.test(
  "a new network shortens a wait, and without a network there is no attempt",
  CLEAN,
  async () => {
    await using peer = startPeer({
      open(line) {
        line.welcome();
        if (line.index < 2) line.drop();
      },
    });
    const events = device();
    const { options } = quick(peer.url);
    const waits: number[] = [];
    const again = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let opens = 0;
    await using connection = await connect({
      ...options,
      ...PATIENT,
      platform_events: events,
      onStatus(status: Status) {
        if (status.state === "waiting") {
          waits.push(status.retry_in_ms);
          // The platform tells so while the wait is on its way.
          setTimeout(() => events.tell(waits.length === 1 ? "online" : "visible"), 0);
        } else if (status.state === "open") again[opens++ - 1]?.resolve();
      },
    });
    await Promise.all(again.map(({ promise }) => promise));
    assert.deepEqual([waits.length, peer.sockets, connection.status.state], [2, 3, "open"]);
    assert.ok(waits.every((ms) => ms > 900_000));
  },
);

Deno.test(
  "an attempt waits for the network, and begins as soon as there is one",
  CLEAN,
  async () => {
    await using peer = startPeer({
      open(line) {
        line.welcome();
        if (line.index === 0) line.drop();
      },
    });
    const events = device();
    const waiting = Promise.withResolvers<void>();
    const again = Promise.withResolvers<void>();
    await using _connection = await connect({
      ...quick(peer.url).options,
      platform_events: events,
      onStatus({ state }) {
        if (state === "waiting") {
          events.online = false;
          waiting.resolve();
        } else if (state === "open" && peer.sockets === 2) again.resolve();
      },
    });
    await waiting.promise;
    // Far longer than the 5 ms of the backoff: an attempt would have been made.
    await new Promise((resolve) => setTimeout(resolve, 60));
    assert.equal(peer.sockets, 1);
    events.online = true;
    events.tell("online");
    await again.promise;
  },
);

Deno.test(
  "a page in view or on a new network pings at once; with platform_events: false it does not",
  CLEAN,
  async () => {
    const events = device();
    for (const event of ["visible", "online"] as const) {
      const received: string[] = [];
      await using peer = startPeer({
        hear(line, operation) {
          received.push(operation.kind);
          if (operation.kind === "publish") line.accept(operation.envelope);
        },
      });
      const { options } = quick(peer.url);
      await using connection = await connect({ ...options, platform_events: events });
      assert.equal(events.listeners, 1);
      events.tell(event);
      // Sent behind the PING.
      await connection.room("lobby").publish("x", 1);
      assert.deepEqual(received, ["ping", "publish"], event);
      await using _deaf = await connect({ ...options, platform_events: false });
      assert.equal(events.listeners, 1);
    }
  },
);

Deno.test(
  "offline: \"refuse\" sends nothing later that was said without a connection: 'connection-lost'",
  CLEAN,
  async () => {
    const came: string[] = [];
    await using peer = startPeer({
      open(line) {
        line.welcome();
        if (line.index === 0) line.drop();
      },
      hear: (_line, { kind }) => void came.push(kind),
    });
    const refused = Promise.withResolvers<unknown>();
    const again = Promise.withResolvers<void>();
    const connection = await connect({
      ...quick(peer.url).options,
      offline: "refuse",
      onStatus({ state }) {
        if (state === "waiting") {
          const room = connection.room("lobby");
          const options = { message_id: "m" };
          Promise.all([room.publish("x", 1, options), room.count()]).catch(refused.resolve);
        } else if (state === "open" && peer.sockets === 2) again.resolve();
      },
    });
    const error = await refused.promise;
    assert.ok(refusedWith("connection-lost")(error));
    assert.match(String(error), /waiting, and offline is "refuse"/);
    await again.promise;
    await connection.room("lobby").publish("x", 2, { ack: false });
    await connection.close();
    assert.deepEqual(came, ["publish"]);
  },
);

/** A socket that reports nothing. */
class MuteSocket implements SocketLike {
  binaryType = "";
  bufferedAmount = 0;
  onmessage: SocketLike["onmessage"] = null;
  onerror: SocketLike["onerror"] = null;
  onclose: SocketLike["onclose"] = null;
  send(_frame: Uint8Array): void {}
  close() {}
}

/** A session on a test socket, and the opcodes of its frames. */
async function openOn(now: () => number, watch_clock: boolean, heartbeat_ms: number) {
  const sent: (number | undefined)[] = [];
  const sockets: SocketLike[] = [];
  class TestSocket extends MuteSocket {
    constructor() {
      super();
      sockets.push(this);
      const { buffer } = encodeWelcome({ heartbeat_ms, protocol_version: 1 });
      queueMicrotask(() => this.onmessage?.({ data: buffer }));
    }
    override send = (frame: Uint8Array) => void sent.push(frame[0]);
  }
  const session: Session = await openSession({
    address: { socket_url: "ws://x", check_url: "http://x" },
    token: "e30.e30.c2ln",
    webSocket: TestSocket,
    handshake_timeout_ms: 10_000,
    request_timeout_ms: 10_000,
    now,
    watch_clock,
    signal: new AbortController().signal,
    onEnvelope() {},
    onAck() {},
    onErr() {},
  });
  return { session, sent, socket: sockets[0] as SocketLike };
}

Deno.test(
  "after the device has slept, or its clock was set, the first heartbeat pings; otherwise the second",
  CLEAN,
  async () => {
    for (
      const [jump_ms, watch_clock, beats] of [
        [3_600_000, true, 1],
        [-50_000, true, 1],
        [0, true, 2],
        [3_600_000, false, 2],
      ] as const
    ) {
      let calls = 0;
      // Called at WELCOME and with each beat, which comes on the beat but for the first one's jump.
      const now = () => calls++ * 20 + (calls > 1 ? jump_ms : 0);
      const { session, sent } = await openOn(now, watch_clock, 20);
      const { code, reason } = await session.ended;
      assert.deepEqual([code, reason], [4408, "heartbeat lost"]);
      // PING of the first beat and of the second, or only of the second.
      assert.equal(sent.filter((opcode) => opcode === 0x07).length, 3 - beats);
    }
  },
);

Deno.test(
  "an extra ping ends the session without an answer, and any frame answers it",
  CLEAN,
  async () => {
    const { session, sent, socket } = await openOn(() => 0, true, 0);
    session.probe(10);
    session.probe(10);
    assert.deepEqual(sent, [0x07], "one at a time");
    socket.onmessage?.({ data: new Uint8Array([0x08]).buffer });
    session.probe(10);
    assert.deepEqual(sent, [0x07, 0x07]);
    const { code } = await session.ended;
    assert.equal(code, 4408);
    session.probe(10);
    assert.equal(sent.length, 2);
  },
);

/** Node 22's: it says `error` when it does not get through, and never `close`. */
class SilentSocket extends MuteSocket {
  constructor() {
    super();
    queueMicrotask(() => this.onerror?.({ message: "refused" }));
  }
}

Deno.test(
  "an error before the WELCOME ends the attempt, whatever the socket reports after it",
  CLEAN,
  async () => {
    const url = `ws://127.0.0.1:${freePort()}`;
    const { promise: late, resolve } = Promise.withResolvers<"late">();
    const timer = setTimeout(() => resolve("late"), 30_000);
    const attempt = connect({
      url,
      token: "e30.e30.c2ln",
      webSocket: SilentSocket,
      handshake_timeout_ms: 3_600_000,
    });
    const error = await Promise.race([late, attempt.catch((error) => error)]);
    clearTimeout(timer);
    assert.ok(refusedWith("unreachable")(error), String(error));
  },
);

Deno.test("a platform without a WebSocket gets an error that names the needed one", async () => {
  const { WebSocket: kept } = globalThis;
  Reflect.deleteProperty(globalThis, "WebSocket");
  try {
    await assert.rejects(
      connect({ url: "localhost:1", token: "e30.e30.c2ln" }),
      { name: "TypeError", message: "@arqon/sdk needs Node 22 or newer" },
    );
  } finally {
    globalThis.WebSocket = kept;
  }
});
