/** Closing clients, and a runtime that observes it at its own pace. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { LAST_LOOKS, Leaving, LOOKS_MAX, NOTIFIED_AT_A_TIME } from "./memory_guard.ts";

const TIMES = { leave_ms: 2_000, answer_ms: 500 };

class Client {
  closed = false;
  notified_ms = Infinity;
  readonly unfinished_bytes: number | undefined;
  readonly #now_ms: () => number;

  constructor(now_ms: () => number = () => 0, unfinished_bytes?: number) {
    this.#now_ms = now_ms;
    this.unfinished_bytes = unfinished_bytes;
  }

  sendAway(): void {
    assert.equal(this.notified_ms, Infinity, "logged once");
    this.notified_ms = this.#now_ms();
  }
}

const some = (count: number) => Array.from({ length: count }, () => new Client());

Deno.test("a few clients are notified at a time, each once, and the time begins when all are", () => {
  const all = some(2 * NOTIFIED_AT_A_TIME + 1);
  const leaving = new Leaving(all, TIMES);
  const notified = () => all.filter(({ notified_ms }) => notified_ms < Infinity).length;
  leaving.tell(1_000);
  assert.deepEqual([notified(), leaving.over_ms], [NOTIFIED_AT_A_TIME, Infinity]);
  leaving.tell(1_010);
  assert.deepEqual([notified(), leaving.over_ms], [2 * NOTIFIED_AT_A_TIME, Infinity]);
  leaving.tell(1_020);
  leaving.tell(1_030);
  assert.deepEqual([notified(), leaving.over_ms], [all.length, 1_020 + TIMES.leave_ms]);
});

Deno.test("no client is judged before the timeout, nor before the last polls", () => {
  const leaving = new Leaving(some(1), TIMES);
  leaving.tell(0);
  for (let now_ms = 0; now_ms < TIMES.leave_ms; now_ms += 10) assert(!leaving.isOver(now_ms));
  for (let look = 1; look < LAST_LOOKS; look++) assert(!leaving.isOver(TIMES.leave_ms));
  assert(leaving.isOver(TIMES.leave_ms));
});

Deno.test("once all have left, only the timeout is pending", () => {
  const [client] = some(1) as [Client];
  const leaving = new Leaving([client], TIMES);
  leaving.tell(0);
  client.closed = true;
  assert(!leaving.isOver(TIMES.leave_ms - 1));
  assert(leaving.isOver(TIMES.leave_ms));
  assert.deepEqual(leaving.remaining(), []);
});

Deno.test("as many polls as remaining clients are needed, and a client that leaves restarts the count", () => {
  const all = some(10) as [Client, ...Client[]];
  const leaving = new Leaving(all, TIMES);
  leaving.tell(0);
  const looks = () => {
    let count = 1;
    while (!leaving.isOver(TIMES.leave_ms)) count++;
    return count;
  };
  for (let look = 0; look < 10; look++) assert(!leaving.isOver(TIMES.leave_ms));
  all[0].closed = true;
  assert.equal(looks(), 11, "one poll that sees it, ten for the nine that are left");
  const many = new Leaving(some(5_000), TIMES);
  for (let turn = 0; turn < 60; turn++) many.tell(0);
  let count = 1;
  while (!many.isOver(TIMES.leave_ms)) count++;
  assert.equal(count, LOOKS_MAX + 1);
});

Deno.test("only clients with known partial messages can be cut off", () => {
  const known = new Client(undefined, 1);
  assert(new Leaving([known], TIMES).can_cut);
  assert(!new Leaving([known, new Client()], TIMES).can_cut);
});

Deno.test("with any peers that flood a fair runtime, no client that answers in time remains", () => {
  const crowd = fc.record({
    floods: fc.integer({ min: 1, max: 30 }),
    answers_ms: fc.array(fc.integer({ min: 0, max: 480 }), { maxLength: 300 }),
    look_ms: fc.integer({ min: 1, max: 300 }),
    read_at_a_time: fc.integer({ min: 1, max: 128 }),
  });
  fc.assert(
    fc.property(crowd, ({ floods, answers_ms, look_ms, read_at_a_time }) => {
      let now_ms = 0;
      const clock = () => now_ms;
      const bad = some(floods);
      const good = answers_ms.map(() => new Client(clock));
      const leaving = new Leaving([...bad, ...good], TIMES);
      // A FIFO queue; a flooding peer fills a poll and is queued again at once.
      const queue: Client[] = [...bad];
      const waiting = new Set(good);
      do {
        leaving.tell(now_ms);
        now_ms += look_ms;
        for (const [index, client] of good.entries()) {
          if (!waiting.has(client) || client.notified_ms + answers_ms[index]! > now_ms) continue;
          waiting.delete(client);
          queue.push(client);
        }
        for (let read = 0; read < read_at_a_time && queue.length > 0; read++) {
          const next = queue.shift() as Client;
          if (bad.includes(next)) {
            queue.push(next);
            break;
          }
          next.closed = true;
        }
      } while (!leaving.isOver(now_ms));
      assert.deepEqual(leaving.remaining(), bad);
    }),
    { numRuns: 300 },
  );
});
