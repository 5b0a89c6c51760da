// The outbox with a clock and a sink of the test's own: window, order, repeats, deadlines, signatures, aborts.
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Ack, ArqonError } from "@arqon/proto";
import { Outbox, type OutboxRequest } from "./outbox.ts";

const ACK: Ack = {
  request_id: 0,
  code: 0,
  reason: "",
  message: "",
  result: new Uint8Array(),
  offset: 0,
  retry_after_ms: 0,
};

/** An outbox with a hand-turned clock, and a record of what was sent and settled. */
function bench(window = 2, queue = 10, queue_bytes = 1_000, renewable = false) {
  const state = { now_ms: 1_000, writable: true };
  const sent: number[] = [];
  const settled: [number, string][] = [];
  const outbox = new Outbox({
    window,
    queue,
    queue_bytes,
    ...(renewable && { getToken: () => "" }),
    elapsed: () => state.now_ms,
    random: () => 0,
  });
  const request = (id: number, rest: Partial<OutboxRequest> = {}): OutboxRequest => ({
    id,
    room: "lobby",
    answered: true,
    frame: new Uint8Array([id]),
    repeatable: false,
    deadline_ms: 11_000,
    timeout_ms: 10_000,
    resolve: (ack) => settled.push([id, ack === undefined ? "sent" : "ok"]),
    reject: (error) => settled.push([id, error.reason]),
    ...rest,
  });
  const sink = {
    connection_id: "c1",
    send: (frame: Uint8Array) => void sent.push(frame[0] ?? -1),
    writable: () => state.writable,
  };
  const ack = (id: number, rest: Partial<Ack> = {}) =>
    outbox.answer({ ...ACK, request_id: id, ...rest });
  /** The signed frame has the number of the request plus 100. */
  const unsigned = (id: number, room: string) =>
    request(id, { room, unsigned: true, answered: false, deadline_ms: 2_000 });
  const seal = (signed: OutboxRequest) =>
    outbox.seal(signed, new Uint8Array([signed.id + 100]), 9_000, 8_000);
  return { state, sent, settled, outbox, request, sink, ack, unsigned, seal };
}

Deno.test("at most a window of requests is unanswered, and each answer sends the next one", () => {
  const { outbox, request, sink, sent, settled, ack } = bench(2);
  outbox.connected(sink);
  for (const id of [1, 2, 3, 4]) outbox.add(request(id));
  assert.deepEqual(sent, [1, 2]);
  ack(1);
  assert.deepEqual(sent, [1, 2, 3]);
  ack(1);
  assert.deepEqual(settled, [[1, "ok"]], "an answer counts once");
});

Deno.test("429 pauses everything for retry_after_ms and then continues in the old order", () => {
  const { outbox, request, sink, sent, state, ack } = bench(2);
  outbox.connected(sink);
  for (const id of [1, 2, 3]) outbox.add(request(id));
  ack(1, { code: 429, reason: "rate-limited", message: "slow", retry_after_ms: 70 });
  ack(2, { code: 429, reason: "rate-limited", message: "slow", retry_after_ms: 50 });
  assert.deepEqual(sent, [1, 2]);
  assert.equal(outbox.nextWake(), 1_070);
  state.now_ms = 1_070;
  outbox.wake();
  assert.deepEqual(sent, [1, 2, 1, 2]);
  ack(1);
  assert.deepEqual(sent, [1, 2, 1, 2, 3]);
});

Deno.test("503 is waited out longer each time, up to 2 s", () => {
  const { outbox, request, sink, sent, state, ack } = bench(1);
  outbox.connected(sink);
  outbox.add(request(1, { repeatable: true, deadline_ms: 99_000 }));
  const waits: number[] = [];
  while (waits.length < 6) {
    ack(1, { code: 503, reason: "spine-unavailable", message: "gone" });
    waits.push((outbox.nextWake() ?? 0) - state.now_ms);
    state.now_ms += waits.at(-1)!;
    outbox.wake();
  }
  assert.deepEqual([waits, sent.length], [[250, 500, 1_000, 2_000, 2_000, 2_000], 7]);
});

Deno.test("an unavailable log only delays its own room, and there the order stays", () => {
  const { outbox, request, sink, sent, settled, state, ack } = bench(2);
  const stored = { repeatable: true };
  outbox.connected(sink);
  for (const id of [1, 2, 3]) outbox.add(request(id, stored));
  ack(1, { code: 503, reason: "log-unavailable", message: "no leader" });
  outbox.add(request(4, { room: "other" }));
  assert.deepEqual(sent, [1, 2, 4], "2 had left before, 3 waits for 1");
  assert.equal(outbox.nextWake(), 1_250);
  ack(4);
  outbox.add(request(5, { room: "other", answered: false }));
  state.now_ms = 1_250;
  outbox.wake();
  assert.deepEqual(sent, [1, 2, 4, 5, 1]);
  ack(2, { code: 503, reason: "log-unavailable", message: "no leader" });
  ack(1);
  assert.deepEqual(sent, [1, 2, 4, 5, 1], "3 waits for 2 now");
  state.now_ms = 1_500;
  outbox.wake();
  assert.deepEqual(sent, [1, 2, 4, 5, 1, 2, 3]);
  for (const id of [2, 3]) ack(id);
  assert.deepEqual(settled.map(([id]) => id), [4, 5, 1, 2, 3]);
  assert.equal(outbox.nextWake(), undefined);
});

Deno.test("requests refused for an expired token are repeated on the next connection, if a new token is available", () => {
  const expired = { code: 401, reason: "token-expired", message: "Token expired" };
  const renewable = bench(2, 10, 1_000, true);
  renewable.outbox.connected(renewable.sink);
  renewable.outbox.add(renewable.request(1));
  renewable.ack(1, expired);
  assert.deepEqual([renewable.sent, renewable.settled], [[1], []]);
  renewable.outbox.disconnected(renewable.sink, new ArqonError("connection-lost", ""));
  renewable.outbox.connected(renewable.sink);
  assert.deepEqual(renewable.sent, [1, 1]);
  const fixed = bench();
  fixed.outbox.connected(fixed.sink);
  fixed.outbox.add(fixed.request(1));
  fixed.ack(1, expired);
  assert.deepEqual(fixed.settled, [[1, "token-expired"]]);
});

Deno.test("requests past their deadline fail with 'answer-timeout', queued or sent", () => {
  const { outbox, request, sink, settled, state } = bench(1);
  outbox.connected(sink);
  outbox.add(request(1));
  outbox.add(request(2));
  outbox.add(request(3, { deadline_ms: 99_000 }));
  assert.equal(outbox.nextWake(), 11_000);
  state.now_ms = 11_000;
  outbox.wake();
  assert.deepEqual(settled, [[1, "answer-timeout"], [2, "answer-timeout"]]);
  assert.equal(outbox.nextWake(), 99_000);
  assert.equal(outbox.size, 1);
});

Deno.test("a request without an ACK is settled when it is passed to the socket, and waits for a full one", () => {
  const { outbox, request, sink, sent, settled, state } = bench(1);
  state.writable = false;
  outbox.connected(sink);
  outbox.add(request(1, { answered: false }));
  assert.deepEqual(sent, []);
  assert.equal(outbox.nextWake(), 1_005);
  state.writable = true;
  outbox.wake();
  assert.deepEqual(settled, [[1, "sent"]]);
});

Deno.test("whatever happens, every request is settled exactly once", () => {
  const step = fc.constantFrom("add", "ack", "busy", "log", "drop", "up", "time");
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 300 }),
      fc.infiniteStream(fc.boolean()),
      (steps, coin) => {
        const { outbox, request, sink, sent, settled, state, ack } = bench(3, 20);
        let added = 0;
        for (const what of steps) {
          if (what === "add") {
            const rest = {
              room: coin.next().value === true ? "lobby" : "other",
              repeatable: coin.next().value === true,
              deadline_ms: state.now_ms + 5_000,
            };
            try {
              outbox.add(request(added + 1, rest));
              added += 1;
            } catch (error) {
              assert.ok(error instanceof ArqonError);
            }
          }
          const id = sent.at(-1) ?? 1;
          if (what === "ack") ack(id);
          if (what === "busy") ack(id, { code: 429, reason: "rate-limited", message: "" });
          if (what === "log") ack(id, { code: 503, reason: "log-unavailable", message: "" });
          if (what === "drop") outbox.disconnected(sink, new ArqonError("connection-lost", ""));
          if (what === "up") outbox.connected(sink);
          if (what === "time") state.now_ms += 700;
          outbox.wake();
        }
        outbox.close(new ArqonError("connection-closed"));
        const ids = settled.map(([id]) => id);
        assert.equal(new Set(ids).size, ids.length);
        assert.equal(ids.length, added);
      },
    ),
  );
});

Deno.test("during a move a room waits for its answers on the old session, others do not", () => {
  const { outbox, request, sink, sent, settled, ack } = bench(10);
  const next: number[] = [];
  const next_sink = {
    connection_id: "c2",
    send: (frame: Uint8Array) => void next.push(frame[0] ?? -1),
    writable: () => true,
  };
  outbox.connected(sink);
  for (const id of [1, 2]) outbox.add(request(id));
  outbox.add(request(3, { room: "other" }));
  ack(3);
  outbox.pause();
  outbox.add(request(4));
  outbox.add(request(5, { room: "other" }));
  assert.deepEqual([sent, outbox.underWay(sink)], [[1, 2, 3], 2], "nothing is sent meanwhile");
  outbox.connected(next_sink);
  assert.deepEqual(next, [5], "the other room owes nothing");
  ack(1);
  assert.deepEqual(next, [5]);
  ack(2);
  assert.deepEqual([next, outbox.underWay(sink)], [[5, 4], 0]);
  outbox.disconnected(sink, new ArqonError("connection-lost", "old"));
  ack(5);
  ack(4);
  assert.deepEqual(settled.map(([id, how]) => `${id} ${how}`), [
    "3 ok",
    "1 ok",
    "2 ok",
    "5 ok",
    "4 ok",
  ]);
});

Deno.test("an old session that ends late only fails its own requests", () => {
  const { outbox, request, sink, settled, ack } = bench(10);
  const next_sink = { send: () => {}, writable: () => true, connection_id: "c1" };
  outbox.connected(sink);
  outbox.add(request(1));
  outbox.add(request(2, { repeatable: true, room: "second" }));
  outbox.connected(next_sink);
  outbox.add(request(3, { room: "third" }));
  outbox.disconnected(sink, new ArqonError("connection-lost", "old"));
  assert.deepEqual(settled, [[1, "connection-lost"]]);
  assert.equal(outbox.underWay(next_sink), 2, "what may be repeated is sent anew");
  for (const id of [2, 3]) ack(id);
  assert.deepEqual(settled.slice(1), [[2, "ok"], [3, "ok"]]);
});

Deno.test("a request without its signature only delays its own room", () => {
  const { outbox, request, unsigned, seal, sink, sent } = bench(4);
  outbox.connected(sink);
  const first = unsigned(1, "a");
  const second = unsigned(2, "a");
  for (const each of [first, second, request(3, { room: "b" })]) outbox.add(each);
  seal(second);
  assert.deepEqual(sent, [3]);
  seal(first);
  assert.deepEqual(sent, [3, 101, 102]);
});

Deno.test("in any order of signatures, requests of a room are sent in their order", () => {
  const rooms = fc.array(fc.constantFrom("a", "b"), { minLength: 1, maxLength: 20 });
  const orders = rooms.chain((rooms) =>
    fc.tuple(
      fc.constant(rooms),
      fc.shuffledSubarray(rooms.map((_, at) => at), { minLength: rooms.length }),
    )
  );
  fc.assert(fc.property(orders, ([rooms, order]) => {
    const { outbox, unsigned, seal, sink, sent } = bench(4, 100);
    outbox.connected(sink);
    const all = rooms.map((room, at) => unsigned(at, room));
    for (const each of all) outbox.add(each);
    for (const at of order) seal(all[at]!);
    for (const room of ["a", "b"]) {
      const own = all.filter((each) => each.room === room).map(({ id }) => id + 100);
      assert.deepEqual(sent.filter((id) => own.includes(id)), own);
    }
    assert.equal(outbox.size, 0);
  }));
});

Deno.test("a missing signature only fails its own request: 'answer-timeout'", () => {
  const { state, outbox, unsigned, seal, sink, sent, settled } = bench(4);
  outbox.connected(sink);
  const other = unsigned(2, "a");
  outbox.add(unsigned(1, "a"));
  outbox.add(other);
  seal(other);
  assert.equal(outbox.nextWake(), 2_000);
  state.now_ms = 2_000;
  outbox.wake();
  assert.deepEqual([settled, sent], [[[1, "answer-timeout"], [2, "sent"]], [102]]);
});

Deno.test("an aborted request is not sent, releases waiting ones, and is not settled again", () => {
  const { outbox, request, unsigned, seal, sink, sent, settled } = bench(1);
  const first = unsigned(1, "a");
  outbox.add(first);
  outbox.add(request(2, { room: "a", answered: false }));
  outbox.cancel(first);
  seal(first);
  outbox.connected(sink);
  assert.deepEqual([sent, settled], [[2], [[2, "sent"]]]);
  const asking = request(3);
  outbox.add(asking);
  outbox.add(request(4, { answered: false }));
  assert.deepEqual(sent, [2, 3], "the window is full");
  outbox.cancel(asking);
  assert.deepEqual(sent, [2, 3, 4]);
  outbox.close(new ArqonError("connection-closed"));
  assert.deepEqual([settled, outbox.size], [[[2, "sent"], [4, "sent"]], 0]);
});
