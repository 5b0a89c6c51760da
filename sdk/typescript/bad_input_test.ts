// Failures between a client and its bus, over real sockets: the program's view, and that nothing stays behind (Deno's
// sanitizers check timers, operations and resources).
import assert from "node:assert/strict";
import { connect, holdLock } from "./mod.ts";
import type { ArqonError, Message } from "./mod.ts";
import { until } from "../../shared/testing/until.ts";
import { roomState } from "./state.ts";
import { CLEAN, countedSignal, countedSockets, device } from "./testing/counted.ts";
import { quick, refusedWith, startPeer, startRoom } from "./testing/scripted_peer.ts";

Deno.test(
  "a handler that is too slow: the buffer stays bounded, by each policy",
  CLEAN,
  async () => {
    const count = 6;
    await using peer = startRoom((line, sub) => {
      line.accept(sub);
      for (let n = 1; n <= count; n += 1) line.message(0, String(n));
    });
    const received = async (on_overflow: "drop-newest" | "drop-oldest" | "error") => {
      const errors: ArqonError[] = [];
      const { options } = quick(peer.url);
      await using connection = await connect({
        ...options,
        onError: (error) => errors.push(error),
      });
      const came: string[] = [];
      const all = Promise.withResolvers<void>();
      // Another loop of the same room, as a reference of received messages.
      const measure = connection.room("lobby").listen((each) => {
        if (each.text() === String(count)) all.resolve();
      });
      const handler = async (each: Message) => {
        came.push(each.signal === undefined ? each.text() : each.signal.reason);
        await all.promise;
      };
      const listener = connection.room("lobby").listen(handler, { buffer: 2, on_overflow });
      await all.promise;
      if (on_overflow === "error") {
        await assert.rejects(listener.ended, refusedWith("slow-consumer"));
      }
      measure.close();
      await connection.close();
      await listener.ended.catch(() => {});
      return [came, errors.map(({ reason }) => reason)];
    };
    const dropped = "3 messages dropped here";
    assert.deepEqual(await received("drop-newest"), [["1", "2", "3", dropped], []]);
    assert.deepEqual(await received("drop-oldest"), [["1", dropped, "5", "6"], []]);
    assert.deepEqual(await received("error"), [["1", "2", "3"], ["slow-consumer"]]);
  },
);

Deno.test(
  "a jumping clock moves no deadline",
  CLEAN,
  async () => {
    let jump_ms = 0;
    await using peer = startPeer({
      hear(line, operation) {
        if (operation.kind !== "publish" || operation.envelope.message_id === "lost") return;
        line.accept(operation.envelope);
      },
    });
    const now = () => Date.now() + jump_ms;
    await using connection = await connect({ ...quick(peer.url).options, now });
    const room = connection.room("lobby");
    for (const jumped_ms of [3_600_000, -86_400_000]) {
      const signal = AbortSignal.timeout(20_000);
      const lost = room.publish("x", 1, { message_id: "lost", timeout_ms: 60, signal });
      // Listens at once: on a busy machine the other answer may come later than 60 ms.
      const late = assert.rejects(lost, refusedWith("answer-timeout"));
      const kept = room.publish("x", 2);
      jump_ms = jumped_ms;
      assert.equal((await kept).code, 0);
      await late;
    }
  },
);

Deno.test("a hundred reconnects leave nothing behind but the last one", CLEAN, async () => {
  const times = 100;
  await using peer = startPeer({
    open(line) {
      line.welcome();
      if (line.index < times) line.socket.close(line.index % 2 === 0 ? 4408 : 1001, "");
    },
    hear(line, operation) {
      if (operation.kind === "subscribe") line.accept(operation.subscribe);
    },
  });
  const counted = countedSignal();
  const platform_events = device();
  const { webSocket, living } = countedSockets();
  const { signal } = counted;
  const { options, statuses } = quick(peer.url);
  const connection = await connect({ ...options, signal, platform_events, webSocket });
  const own = countedSignal();
  const loop = connection.room("lobby").subscribe({ signal: own.signal });
  const publishing = connection.room("lobby").publish("x", 1, { ack: false, signal: own.signal });
  const opens = () => statuses.filter(({ state }) => state === "open").length;
  await until("the last session", () => opens() === times + 1);
  await loop.ready;
  await publishing;
  assert.deepEqual([counted.listeners, platform_events.listeners, own.listeners], [1, 1, 1]);
  assert.deepEqual([peer.sockets, living()], [times + 1, 1]);
  await connection.close();
  assert.equal(living(), 0);
  assert.deepEqual([counted.listeners, platform_events.listeners, own.listeners], [0, 0, 0]);
});

Deno.test(
  "after the close messages are not delivered, and requests are refused: 'connection-closed'",
  CLEAN,
  async () => {
    await using peer = startRoom((line, sub) => {
      line.accept(sub);
      line.message(0, "before");
    });
    const connection = await connect(quick(peer.url).options);
    const room = connection.room("lobby");
    const received: string[] = [];
    const first = Promise.withResolvers<void>();
    const listener = room.listen((each) => {
      received.push(each.text());
      first.resolve();
    });
    await first.promise;
    const closing = connection.close();
    peer.line.message(0, "after");
    await closing;
    await listener.ended;
    assert.deepEqual(received, ["before"]);
    for (
      const asked of [
        room.publish("x", 1),
        roomState(room).get("k"),
        holdLock(room),
        room.members().next(),
      ]
    ) await assert.rejects(asked, refusedWith("connection-closed"));
    assert.throws(() => room.listen(() => {}), refusedWith("connection-closed"));
  },
);
