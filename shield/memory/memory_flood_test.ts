/**
 * The guard against several flooding peers: a model of the runtime, which serves sockets in order of arrival, so that
 * every poll may serve a flooding one. `tests/memory/memory_test.ts` tests the real runtime.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Action, GIVE_UP_AT, MemoryGuard, type Suspect } from "./memory_guard.ts";

const LIMIT = 1_000_000_000;
const LIMITS = { memory_bytes: LIMIT, max_frame_bytes: 262_144 };
/** The memory of an idle process, as a fraction of the limit. */
const FLOOR = 0.2;
const ALERT_MS = 10;
/** The longest run. */
const MOST_MS = 60_000;

interface Flood {
  readonly floods: number;
  /** Whether each honest client answers PINGs, and after how long it answers anything, in ms. */
  readonly others: readonly { readonly pongs: boolean; readonly answer_ms: number }[];
  /** The memory that one poll of a flooding peer takes, as a fraction of the limit. */
  readonly look: number;
  readonly look_ms: number;
}

class Peer implements Suspect {
  received_ms = 0;
  ended = false;
  closed = false;
  readonly unfinished_bytes = undefined;
  /** The peer's answers: their time, and their effect. */
  readonly answers: { readonly at_ms: number; readonly act: (now_ms: number) => void }[] = [];
  readonly floods: boolean;
  readonly #say: (peer: Peer, what: "ping" | "close") => void;

  constructor(floods: boolean, say: (peer: Peer, what: "ping" | "close") => void) {
    this.floods = floods;
    this.#say = say;
  }

  ping(): void {
    this.#say(this, "ping");
  }

  sendAway(): void {
    this.ended = true;
    this.#say(this, "close");
  }

  terminate(): void {
    assert.fail("a native socket cannot be cut off");
  }
}

/** Runs until the process has ended or `MOST_MS` have passed. */
function run({ floods, others, look, look_ms }: Flood) {
  let now_ms = 1_000;
  let used = FLOOR;
  let peak = FLOOR;
  const say = (peer: Peer, what: "ping" | "close") => {
    const index = good.indexOf(peer);
    const other = others[index];
    if (other === undefined || (what === "ping" && !other.pongs)) return;
    const act = (read_ms: number) => {
      if (what === "close") peer.closed = true;
      else peer.received_ms = read_ms;
    };
    peer.answers.push({ at_ms: now_ms + other.answer_ms, act });
  };
  const bad = Array.from({ length: floods }, () => new Peer(true, say));
  const good = others.map(() => new Peer(false, say));
  const all = [...bad, ...good];
  const guard = new MemoryGuard<Peer>(LIMITS, () => all.filter(({ closed }) => !closed));
  const queue: Peer[] = [...bad];
  const guilty = new Set<Peer>();
  const kinds: Action<Peer>["kind"][] = [];
  while (now_ms < MOST_MS) {
    const reading = { now_ms, rss_bytes: used * LIMIT, own_bytes: FLOOR / 2 * LIMIT };
    const action = guard.sample(reading);
    if (action.kind !== "none") kinds.push(action.kind);
    if ("guilty" in action) action.guilty.forEach((peer) => guilty.add(peer));
    const judged = action.kind === "judged" || (action.kind === "end" && action.judged);
    if (judged || action.kind === "abort") break;
    now_ms += guard.pause_ms(reading) + (guard.calm ? guard.calm_ms(reading) : ALERT_MS) + look_ms;
    for (const peer of good) {
      const is_there = peer.answers.some(({ at_ms }) => at_ms <= now_ms);
      if (is_there && !queue.includes(peer)) queue.push(peer);
    }
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      if (next.floods) {
        used += look;
        queue.push(next);
        break;
      }
      for (const { act } of next.answers.splice(0)) act(now_ms);
    }
    peak = Math.max(peak, used);
  }
  return { bad, good, guilty, kinds, peak };
}

const flood = fc.record({
  floods: fc.integer({ min: 1, max: 12 }),
  others: fc.array(
    fc.record({ pongs: fc.boolean(), answer_ms: fc.integer({ min: 0, max: 480 }) }),
    { maxLength: 60 },
  ),
  look: fc.double({ min: 0.001, max: 0.6, noNaN: true }),
  look_ms: fc.integer({ min: 1, max: 300 }),
});

Deno.test("for any number and speed of flooding peers, no client that leaves when asked is guilty", () => {
  fc.assert(
    fc.property(flood, (given) => {
      const { good, guilty } = run(given);
      assert(!good.some((peer) => guilty.has(peer)));
    }),
    { numRuns: 500 },
  );
});

Deno.test("for any number of flooding peers, the end begins before twice the limit plus one poll is taken", () => {
  const fast = flood.map((given) => ({ ...given, look: 0.02 + given.look }));
  fc.assert(
    fc.property(fast, (given) => {
      const { kinds, peak } = run(given);
      assert(kinds.includes("end"), kinds.join());
      assert(peak < GIVE_UP_AT + given.look, String(peak));
    }),
    { numRuns: 500 },
  );
});

Deno.test("with memory for some polls of each, all flooding peers are guilty", () => {
  const fits = flood.map((given) => ({ ...given, look: 0.8 / (given.floods + 12) }));
  fc.assert(
    fc.property(fits, (given) => {
      const { bad, guilty, kinds } = run(given);
      assert.deepEqual([...guilty], bad, kinds.join());
    }),
    { numRuns: 500 },
  );
});
