/** The guard as a table of readings, with peers that behave like their names. */
import assert from "node:assert/strict";
import {
  ABORT_AT,
  ANSWER_MS,
  END_MS,
  GIVE_UP_AT,
  LEAVE_MS,
  MemoryGuard,
  PAUSE_MS,
} from "./memory_guard.ts";
import { type Action, LAST_LOOKS, type Suspect } from "./memory_guard.ts";

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
