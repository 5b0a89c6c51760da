/**
 * The guard as a table of readings, with peers that behave like their names. Closing clients, and a runtime that
 * observes it at its own pace.
 */
import assert from "node:assert/strict";
import {
  ABORT_AT,
  type Action,
  ANSWER_MS,
  END_MS,
  GIVE_UP_AT,
  LAST_LOOKS,
  LEAVE_MS,
  Leaving,
  LOOKS_MAX,
  MemoryGuard,
  NOTIFIED_AT_A_TIME,
  PAUSE_MS,
  type Suspect,
} from "./memory_guard.ts";
import fc from "fast-check";

const LIMIT = 1_000_000_000;
const LIMITS = { memory_bytes: LIMIT, max_frame_bytes: 262_144 };

/** One peer and the guard's actions on it. */
class Peer implements Suspect {
  received_ms = 0;
  ended = false;
  closed = false;
  readonly done: string[] = [];
  readonly name: string;
  readonly unfinished_bytes: number | undefined;

  constructor(name: string, unfinished_bytes?: number) {
    this.name = name;
    this.unfinished_bytes = unfinished_bytes;
  }

  ping(): void {
    this.done.push("ping");
  }

  sendAway(): void {
    this.done.push("away");
  }

  terminate(): void {
    this.done.push("terminate");
  }
}

/** A guard, its peers, and a clock. `used` is a fraction of the limit, of which the heap has 0.05. */
function guardOf(...peers: Peer[]) {
  const guard = new MemoryGuard<Peer>(LIMITS, () => peers.filter(({ closed }) => !closed));
  let now_ms = 1_000;
  const readingOf = (used: number) => ({
    now_ms,
    rss_bytes: used * LIMIT,
    own_bytes: 0.05 * LIMIT,
  });
  const sample = (used: number, after_ms = 0): Action<Peer> => {
    now_ms += after_ms;
    return guard.sample(readingOf(used));
  };
  assert.equal(sample(0.1).kind, "none");
  /** After the timeout, polls until the runtime must have read every answer. */
  const looks = (used: number, after_ms: number): Action<Peer> => {
    let action = sample(used, after_ms);
    for (let look = 0; look < LAST_LOOKS && action.kind === "none"; look++) action = sample(used);
    return action;
  };
  const pause = (used: number, after_ms: number) => {
    now_ms += after_ms;
    return guard.pause_ms(readingOf(used));
  };
  return { guard, sample, looks, pause, answer: (peer: Peer) => peer.received_ms = now_ms };
}

Deno.test("below the first level no client is pinged", () => {
  const peer = new Peer("silent");
  const { sample } = guardOf(peer);
  assert.equal(sample(0.44, 1_000).kind, "none");
  assert.deepEqual(peer.done, []);
});

Deno.test("a client that answers the PING stays; others are closed; those that do not leave are guilty", () => {
  const sdk = new Peer("sdk");
  const plain = new Peer("plain");
  const offender = new Peer("offender");
  const { sample, looks, answer } = guardOf(sdk, plain, offender);
  assert.deepEqual(sample(0.5), { kind: "asked", clients: 3 });
  answer(sdk);
  assert.equal(sample(0.6, ANSWER_MS - 1).kind, "none");
  assert.deepEqual(sample(0.6, 1), { kind: "parted", clients: 2 });
  plain.closed = true;
  assert.equal(sample(0.65, LEAVE_MS - 1).kind, "none");
  assert.deepEqual(looks(0.65, 1), { kind: "end", judged: true, guilty: [offender] });
  assert.deepEqual(sdk.done, ["ping"]);
  assert.deepEqual(plain.done, ["ping", "away"]);
  assert.deepEqual(offender.done, ["ping", "away"]);
});

Deno.test("clients that can be cut off are, and the process continues", () => {
  const idle = new Peer("idle", 100);
  const offender = new Peer("offender", 300_000_000);
  const { guard, sample, looks } = guardOf(idle, offender);
  assert.deepEqual(sample(0.5), { kind: "asked", clients: 1 });
  assert.deepEqual(sample(0.6, ANSWER_MS), { kind: "parted", clients: 1 });
  assert.deepEqual(looks(0.6, LEAVE_MS), { kind: "cut", guilty: [offender] });
  assert(guard.calm);
  assert.deepEqual(idle.done, [], "it has no partial message");
});

Deno.test("if the memory is freed when silent clients leave, the remaining ones are not guilty", () => {
  const offender = new Peer("offender");
  const unreachable = new Peer("unreachable");
  const { guard, sample, looks } = guardOf(offender, unreachable);
  sample(0.5);
  assert.equal(sample(0.6, ANSWER_MS).kind, "parted");
  assert(guard.isGuilty(offender, 0.4 * LIMIT), "it left with the memory");
  assert(!guard.isGuilty(unreachable, 4 * LIMITS.max_frame_bytes), "that amount is ignored");
  offender.closed = true;
  assert.equal(looks(0.3, LEAVE_MS).kind, "none");
  assert(guard.calm);
});

Deno.test("a message that ends calms the guard", () => {
  const { guard, sample } = guardOf(new Peer("large"));
  sample(0.5);
  assert.equal(sample(0.4, 100).kind, "none");
  assert(guard.calm);
});

Deno.test("without silent clients nobody is guilty, and the PINGs are repeated later or on growth", () => {
  const peer = new Peer("busy");
  const { sample, answer } = guardOf(peer);
  assert.equal(sample(0.6).kind, "asked");
  answer(peer);
  assert.equal(sample(0.6, ANSWER_MS).kind, "unexplained");
  assert.equal(sample(0.6, 1_000).kind, "none", "not at once");
  assert.equal(sample(0.66, 1_000).kind, "asked", "but when it grows");
});

Deno.test("for memory in the heap no client is pinged", () => {
  const peer = new Peer("silent");
  const guard = new MemoryGuard<Peer>(LIMITS, () => [peer]);
  const heap = (now_ms: number, used: number) =>
    guard.sample({ now_ms, rss_bytes: used * LIMIT, own_bytes: (used - 0.1) * LIMIT }).kind;
  assert.equal(heap(0, 0.5), "none");
  assert.equal(heap(60_000, 0.7), "unexplained");
  assert.deepEqual(peer.done, []);
});

Deno.test("fast growth shortens the time to answer, and the process ends before it judges", () => {
  const offender = new Peer("offender");
  const slow = new Peer("slow");
  const { sample, looks } = guardOf(offender, slow);
  assert.equal(sample(0.5).kind, "asked");
  assert.equal(sample(0.68, 100).kind, "none");
  assert.equal(sample(0.68, 400).kind, "parted");
  assert.equal(sample(0.8, 499).kind, "none");
  assert.deepEqual(sample(0.8, 1), { kind: "end", judged: false, guilty: [] });
  assert.equal(sample(0.8, LEAVE_MS - 501).kind, "none");
  slow.closed = true;
  assert.deepEqual(looks(0.85, 1), { kind: "judged", guilty: [offender] }, "after all of its time");
  assert.equal(sample(0.85, 1).kind, "none");
});

Deno.test("few remaining polls shorten the time to answer, and the end begins with the closing", () => {
  const offender = new Peer("offender");
  const plain = new Peer("plain");
  const { sample, looks, pause } = guardOf(offender, plain);
  pause(0.3, 0);
  assert.equal(sample(0.5).kind, "asked");
  pause(0.5, 0);
  assert.equal(sample(0.64, 499).kind, "none");
  pause(0.64, 0);
  assert.deepEqual(sample(0.83, 1), { kind: "end", judged: false, guilty: [] });
  assert.deepEqual(offender.done, ["ping", "away"]);
  plain.closed = true;
  assert.deepEqual(looks(0.9, LEAVE_MS), { kind: "judged", guilty: [offender] });
});

Deno.test("a sudden growth exceeds the limit: silent clients are closed and judged", () => {
  const offender = new Peer("offender");
  const plain = new Peer("plain");
  const talker = new Peer("talker");
  const { sample, looks, pause, answer } = guardOf(offender, plain, talker);
  pause(0.2, 50);
  sample(0.2);
  answer(talker);
  assert.deepEqual(sample(1.2, 50), { kind: "end", judged: false, guilty: [] });
  assert.deepEqual([offender, plain, talker].map(({ done }) => done), [["away"], ["away"], []]);
  plain.closed = true;
  assert.deepEqual(looks(1.5, LEAVE_MS), { kind: "judged", guilty: [offender] });
});

Deno.test("at its limit the process ends, and nobody is guilty if unfinished messages are not the cause", () => {
  const peer = new Peer("silent");
  const guard = new MemoryGuard<Peer>(LIMITS, () => [peer]);
  const heap = (now_ms: number, used: number) =>
    guard.sample({ now_ms, rss_bytes: used * LIMIT, own_bytes: (used - 0.1) * LIMIT });
  heap(0, 0.2);
  assert.deepEqual(heap(50, 1), { kind: "end", judged: true, guilty: [] });
  assert.deepEqual(peer.done, []);
});

Deno.test("an end that takes too much time or memory is cut short", () => {
  const slow = guardOf();
  slow.sample(1);
  assert.equal(slow.sample(1, END_MS - 1).kind, "none");
  assert.equal(slow.sample(1, 1).kind, "abort");
  const fast = guardOf();
  fast.sample(1);
  assert.equal(fast.sample(ABORT_AT, 1).kind, "abort");
});

Deno.test("an end is not cut short before the guilty clients are known, up to twice the limit", () => {
  const offender = new Peer("offender");
  const { sample, looks } = guardOf(offender);
  assert.equal(sample(1).kind, "end");
  assert.equal(sample(GIVE_UP_AT - 0.01, 1).kind, "none");
  assert.deepEqual(looks(1.9, LEAVE_MS), { kind: "judged", guilty: [offender] });
  assert.equal(sample(1.9, 1).kind, "abort");
  const far = guardOf(new Peer("offender"));
  far.sample(1);
  assert.equal(far.sample(GIVE_UP_AT, 1).kind, "abort");
});

Deno.test("a client that connects after the PINGs and sends nothing is closed, too", () => {
  const early = new Peer("early");
  const peers = [early];
  const guard = new MemoryGuard<Peer>(LIMITS, () => peers);
  const sample = (now_ms: number, used: number) =>
    guard.sample({ now_ms, rss_bytes: used * LIMIT, own_bytes: 0 });
  sample(1, 0.1);
  assert.equal(sample(1_000, 0.5).kind, "asked");
  early.received_ms = 1_100;
  const late = new Peer("late");
  peers.push(late);
  assert.deepEqual(sample(1_000 + ANSWER_MS, 0.6), { kind: "parted", clients: 1 });
  assert.deepEqual(late.done, ["away"]);
});

Deno.test("a socket that stays open after its connection's end is not pinged, but judged", () => {
  const lingering = new Peer("lingering");
  lingering.ended = true;
  const { sample, looks, answer } = guardOf(lingering);
  assert.deepEqual(sample(0.5), { kind: "asked", clients: 0 });
  answer(lingering);
  assert.equal(sample(0.6, ANSWER_MS).kind, "parted");
  assert.deepEqual(looks(0.6, LEAVE_MS), { kind: "end", judged: true, guilty: [lingering] });
});

Deno.test("reading is paused only while the guard judges, and only as growth demands", () => {
  const { sample, pause } = guardOf(new Peer("offender"));
  assert.equal(pause(0.4, 10), 0, "calm");
  sample(0.45);
  assert.equal(pause(0.45, 0), 0, "the PINGs are sent first");
  assert.equal(pause(0.47, 10), PAUSE_MS, "0.02 in 10 ms leaves no time");
  assert.equal(pause(0.47, 10), 0, "no growth");
  assert.equal(pause(0.4701, 1_000), 0, "slow growth");
});

Deno.test("if only the judgement is pending, reading stops until it is made", () => {
  const { sample, pause } = guardOf(new Peer("offender"));
  pause(0.9, 0);
  sample(1);
  assert.equal(pause(1, 0), 0, "the close frames are sent first");
  assert.equal(sample(1.1, 10).kind, "none");
  assert.equal(pause(1.1, 0), LEAVE_MS - 10);
});

Deno.test("while all is calm, the pause is short if memory could run short by the next reading", () => {
  const guard = new MemoryGuard<Peer>({ ...LIMITS, memory_bytes: 4 * LIMIT }, () => []);
  const pause_ms = (rss_bytes: number) => guard.calm_ms({ now_ms: 0, rss_bytes, own_bytes: 0 });
  assert.equal(pause_ms(0.2 * LIMIT), 250);
  // 800 MB until clients are pinged: half of them arrive within 200 ms at the earliest.
  assert.equal(pause_ms(LIMIT), 200);
  assert.equal(pause_ms(1.7 * LIMIT), 50);
  assert.equal(pause_ms(3 * LIMIT), 50);
});

Deno.test("a limit that a reload changes holds from the next reading on", () => {
  const limits = { ...LIMITS };
  const guard = new MemoryGuard<Peer>(limits, () => []);
  const sample = () => guard.sample({ now_ms: 0, rss_bytes: 0.4 * LIMIT, own_bytes: 0 }).kind;
  assert.equal(sample(), "none");
  limits.memory_bytes = LIMIT / 2;
  assert.notEqual(sample(), "none");
});

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
