/** The guard as a table of readings, with peers that do what their name says. */
import assert from "node:assert/strict";
import { ABORT_AT, ANSWER_MS, END_MS, LEAVE_MS, MemoryGuard, PAUSE_MS } from "./memory_guard.ts";
import type { Action, Suspect } from "./memory_guard.ts";

const LIMIT = 1_000_000_000;

/** One peer and what was done to it. */
class Peer implements Suspect {
  heard_ms = 0;
  ended = false;
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

/** A guard, its peers, and a clock. `used` is a part of the limit, of which the heap has 0.05. */
function guardOf(...peers: Peer[]) {
  const here = new Set(peers);
  const guard = new MemoryGuard<Peer>(LIMIT, () => here);
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
  const pause = (used: number, after_ms: number) => {
    now_ms += after_ms;
    return guard.pause_ms(readingOf(used));
  };
  return { guard, here, sample, pause, answer: (peer: Peer) => peer.heard_ms = now_ms };
}

Deno.test("below the first level nobody is asked anything", () => {
  const peer = new Peer("silent");
  const { sample } = guardOf(peer);
  assert.equal(sample(0.44, 1_000).kind, "none");
  assert.deepEqual(peer.done, []);
});

Deno.test("who answers the PING stays; who does not is sent away; who does not leave is guilty", () => {
  const [sdk, plain, offender] = [new Peer("sdk"), new Peer("plain"), new Peer("offender")];
  const { here, sample, answer } = guardOf(sdk, plain, offender);
  assert.deepEqual(sample(0.5), { kind: "asked", clients: 3 });
  answer(sdk);
  assert.equal(sample(0.6, ANSWER_MS - 1).kind, "none");
  assert.deepEqual(sample(0.6, 1), { kind: "parted", clients: 2 });
  here.delete(plain);
  assert.equal(sample(0.65, LEAVE_MS - 1).kind, "none");
  assert.deepEqual(sample(0.65, 1), { kind: "end", judged: true, guilty: [offender] });
  assert.deepEqual(sdk.done, ["ping"]);
  assert.deepEqual(plain.done, ["ping", "away"]);
  assert.deepEqual(offender.done, ["ping", "away"]);
});

Deno.test("whoever can be cut off is, and the process goes on", () => {
  const [idle, offender] = [new Peer("idle", 100), new Peer("offender", 300_000_000)];
  const { guard, sample } = guardOf(idle, offender);
  assert.deepEqual(sample(0.5), { kind: "asked", clients: 1 });
  assert.deepEqual(sample(0.6, ANSWER_MS), { kind: "parted", clients: 1 });
  assert.deepEqual(sample(0.6, LEAVE_MS), { kind: "cut", guilty: [offender] });
  assert(guard.calm);
  assert.deepEqual(idle.done, [], "its message is not in the middle");
});

Deno.test("memory that has gone when the silent have left makes nobody guilty who is still there", () => {
  const [offender, unreachable] = [new Peer("offender"), new Peer("unreachable")];
  const { guard, here, sample } = guardOf(offender, unreachable);
  sample(0.5);
  assert.equal(sample(0.6, ANSWER_MS).kind, "parted");
  assert(guard.isGuilty(offender, 0.4 * LIMIT), "it left with the memory");
  assert(!guard.isGuilty(unreachable, 1_000));
  here.delete(offender);
  assert.equal(sample(0.3, LEAVE_MS).kind, "none");
  assert(guard.calm);
});

Deno.test("a message that ends calms the guard", () => {
  const { guard, sample } = guardOf(new Peer("large"));
  sample(0.5);
  assert.equal(sample(0.4, 100).kind, "none");
  assert(guard.calm);
});

Deno.test("with nobody silent it is nobody's fault, and asked again later or when it grows", () => {
  const peer = new Peer("busy");
  const { sample, answer } = guardOf(peer);
  assert.equal(sample(0.6).kind, "asked");
  answer(peer);
  assert.equal(sample(0.6, ANSWER_MS).kind, "unexplained");
  assert.equal(sample(0.6, 1_000).kind, "none", "not at once");
  assert.equal(sample(0.66, 1_000).kind, "asked", "but when it grows");
});

Deno.test("for memory in the heap nobody is asked", () => {
  const peer = new Peer("silent");
  const guard = new MemoryGuard<Peer>(LIMIT, () => [peer]);
  const heap = (now_ms: number, used: number) =>
    guard.sample({ now_ms, rss_bytes: used * LIMIT, own_bytes: (used - 0.1) * LIMIT }).kind;
  assert.equal(heap(0, 0.5), "none");
  assert.equal(heap(60_000, 0.7), "unexplained");
  assert.deepEqual(peer.done, []);
});

Deno.test("fast growth shortens the time to answer, and the process ends before it judges", () => {
  const [offender, slow] = [new Peer("offender"), new Peer("slow")];
  const { here, sample } = guardOf(offender, slow);
  assert.equal(sample(0.5).kind, "asked");
  assert.equal(sample(0.68, 100).kind, "none");
  assert.equal(sample(0.68, 400).kind, "parted");
  assert.equal(sample(0.8, 499).kind, "none");
  assert.deepEqual(sample(0.8, 1), { kind: "end", judged: false, guilty: [] });
  assert.equal(sample(0.8, LEAVE_MS - 501).kind, "none");
  here.delete(slow);
  assert.deepEqual(
    sample(0.85, 1),
    { kind: "judged", guilty: [offender] },
    "after all of its time",
  );
  assert.equal(sample(0.85, 1).kind, "none");
});

Deno.test("at its limit the process ends, and nobody is guilty without having been asked to go", () => {
  const { sample } = guardOf(new Peer("silent"));
  assert.deepEqual(sample(1), { kind: "end", judged: true, guilty: [] });
});

Deno.test("an end that takes too long, or too much, is cut short", () => {
  const slow = guardOf();
  slow.sample(1);
  assert.equal(slow.sample(1, END_MS - 1).kind, "none");
  assert.equal(slow.sample(1, 1).kind, "abort");
  const fast = guardOf();
  fast.sample(1);
  assert.equal(fast.sample(ABORT_AT, 1).kind, "abort");
});

Deno.test("a socket that lingers after its connection's end is not pinged, but judged", () => {
  const lingering = new Peer("lingering");
  lingering.ended = true;
  const { sample, answer } = guardOf(lingering);
  assert.deepEqual(sample(0.5), { kind: "asked", clients: 0 });
  answer(lingering);
  assert.equal(sample(0.6, ANSWER_MS).kind, "parted");
  assert.deepEqual(sample(0.6, LEAVE_MS), { kind: "end", judged: true, guilty: [lingering] });
});

Deno.test("reading is paused only while the guard judges, and only as growth demands", () => {
  const { sample, pause } = guardOf(new Peer("offender"));
  assert.equal(pause(0.4, 10), 0, "calm");
  sample(0.5);
  assert.equal(pause(0.5, 10), PAUSE_MS, "0.1 in 10 ms leaves no time");
  assert.equal(pause(0.5, 10), 0, "no growth");
  assert.equal(pause(0.5001, 1_000), 0, "slow growth");
});
