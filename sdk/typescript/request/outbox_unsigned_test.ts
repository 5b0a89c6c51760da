// Requests of the outbox that wait for a signature, and those that the program has aborted.
import assert from "node:assert/strict";
import fc from "fast-check";
import { ArqonError } from "@arqon/proto";
import { Outbox, type OutboxRequest } from "./outbox.ts";

function bench(window = 4) {
  const state = { now_ms: 1_000 };
  const sent: string[] = [];
  const settled: string[] = [];
  const outbox = new Outbox({
    window,
    queue: 100,
    queue_bytes: 1_000,
    elapsed: () => state.now_ms,
    random: () => 0,
  });
  const decoder = new TextDecoder();
  const frame = (text: string) => new TextEncoder().encode(text);
  const request = (id: number, room: string, unsigned = true): OutboxRequest => ({
    id,
    room,
    answered: false,
    frame: frame(`${room}${id}`),
    unsigned,
    repeatable: false,
    deadline_ms: 2_000,
    timeout_ms: 1_000,
    resolve: () => settled.push(`${id} sent`),
    reject: (error) => settled.push(`${id} ${error.reason}`),
  });
  const seal = (signed: OutboxRequest) =>
    outbox.seal(signed, frame(`${signed.room}${signed.id}!`), 9_000, 8_000);
  const sink = {
    send: (bytes: Uint8Array) => sent.push(decoder.decode(bytes)),
    writable: () => true,
    connection_id: "c1",
  };
  return { state, outbox, request, seal, sink, sent, settled };
}

Deno.test("a request without its signature only delays its own room", () => {
  const { outbox, request, seal, sink, sent } = bench();
  outbox.connected(sink);
  const first = request(1, "a");
  const second = request(2, "a");
  outbox.add(first);
  outbox.add(second);
  outbox.add(request(3, "b", false));
  seal(second);
  assert.deepEqual(sent, ["b3"]);
  seal(first);
  assert.deepEqual(sent, ["b3", "a1!", "a2!"]);
});

Deno.test("in any order of signatures, requests of a room are sent in their order", () => {
  fc.assert(fc.property(
    fc.array(fc.constantFrom("a", "b"), { minLength: 1, maxLength: 20 }).chain((rooms) =>
      fc.tuple(
        fc.constant(rooms),
        fc.shuffledSubarray(rooms.map((_, at) => at), { minLength: rooms.length }),
      )
    ),
    ([rooms, order]) => {
      const { outbox, request, seal, sink, sent } = bench();
      outbox.connected(sink);
      const all = rooms.map((room, at) => request(at, room));
      for (const each of all) outbox.add(each);
      for (const at of order) seal(all[at] as OutboxRequest);
      for (const room of ["a", "b"]) {
        const ids = sent.filter((text) => text.startsWith(room)).map((text) =>
          parseInt(text.slice(1))
        );
        assert.deepEqual(ids, all.filter((each) => each.room === room).map(({ id }) => id));
      }
      assert.equal(outbox.size, 0);
    },
  ));
});

Deno.test("a missing signature only fails its own request: 'answer-timeout'", () => {
  const { state, outbox, request, seal, sink, sent, settled } = bench();
  outbox.connected(sink);
  const other = request(2, "a");
  outbox.add(request(1, "a"));
  outbox.add(other);
  seal(other);
  assert.equal(outbox.nextWake(), 2_000);
  state.now_ms = 2_000;
  outbox.wake();
  assert.deepEqual([settled, sent], [["1 answer-timeout", "2 sent"], ["a2!"]]);
});

Deno.test("an aborted request is not sent, releases waiting ones, and is not settled again", () => {
  const { outbox, request, seal, sink, sent, settled } = bench(1);
  const first = request(1, "a");
  const second = request(2, "a", false);
  outbox.add(first);
  outbox.add(second);
  outbox.cancel(first);
  seal(first);
  outbox.connected(sink);
  assert.deepEqual([sent, settled], [["a2"], ["2 sent"]]);
  const asking = { ...request(3, "a", false), answered: true };
  outbox.add(asking);
  outbox.add(request(4, "a", false));
  assert.deepEqual(sent, ["a2", "a3"], "the window is full");
  outbox.cancel(asking);
  assert.deepEqual(sent, ["a2", "a3", "a4"]);
  outbox.close(new ArqonError("connection-closed"));
  assert.deepEqual([settled, outbox.size], [["2 sent", "4 sent"], 0]);
});
