/**
 * Calls that share a key run one after another, no call waits for ever, and a worker gets the values of the previous
 * call. Workers are simulated here; `pool_state_test.ts` has real ones.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { applyChanges, type HeldValues, type SlotValue } from "./held_values.ts";
import { KeyHolds, type LaneHolds } from "./key_holds.ts";
import { type StateRef, StateStore } from "./state_store.ts";

const LIMITS = { tenant_entries: 1_000, tenant_bytes: 1e6, entries: 1_000, bytes: 1e6 };
const refOf = (place: string): StateRef => ({ tenant_id: "acme", place, ttl_ms: 1_000 });

interface Call {
  readonly state: { readonly keys: readonly StateRef[] };
  readonly chain: readonly { readonly slots: readonly StateRef[] }[];
  done: boolean;
}

/** A call with one policy, which has a slot for each of these keys. */
function callOf(...places: string[]): Call {
  const keys = places.map(refOf);
  return { state: { keys }, chain: [{ slots: keys }], done: false };
}

/** A worker that counts: each call adds one to each of its values. */
class CountingLane {
  readonly holds: LaneHolds;
  readonly queue: Call[] = [];
  readonly #held: HeldValues = new Map();
  #under_way: { readonly call: Call; readonly written: SlotValue[] }[] = [];

  constructor(all: KeyHolds) {
    this.holds = all.lane();
  }

  get under_way(): readonly Call[] {
    return this.#under_way.map(({ call }) => call);
  }

  /** Sends calls while the first one may go, up to `room`. */
  pump(room = Infinity): void {
    this.holds.begin();
    for (let head = this.queue[0]; head !== undefined; head = this.queue[0]) {
      if (this.#under_way.length >= room || !this.holds.mayTake(head)) return;
      this.queue.shift();
      if (head.done) continue;
      const { values, ended } = this.holds.take(head.chain)!;
      const given = values.flatMap(({ hold, value }) =>
        value === undefined ? [] : [[hold, value] as const]
      );
      applyChanges(this.#held, { given, ended });
      const written = values.map(({ hold }, slot) => {
        const before = this.#held.get(hold);
        assert.notEqual(before, undefined, "the worker has every value");
        const value = new Uint8Array([(before?.[0] ?? 0) + 1]);
        this.#held.set(hold, value);
        return { place: 0, slot, value };
      });
      this.#under_way.push({ call: head, written });
    }
  }

  /** Queues these calls, and sends those that may go. */
  send(...calls: Call[]): void {
    this.queue.push(...calls);
    this.pump();
  }

  reply(): Call | undefined {
    const first = this.#under_way.shift();
    if (first !== undefined) this.holds.replied(first.call.chain, first.written, 0);
    return first?.call;
  }

  die(): readonly Call[] {
    const lost = this.under_way;
    this.#under_way = [];
    this.#held.clear();
    this.holds.lost(lost.map(({ chain }) => chain));
    return lost;
  }
}

function setUp(count: number) {
  const store = new StateStore(LIMITS);
  const waits: number[] = [];
  const freed = { times: 0 };
  const clock = { now_ms: 0 };
  const all = new KeyHolds({
    store,
    now: () => clock.now_ms,
    onFreed: () => void freed.times++,
    onWaited: (ms) => void waits.push(ms),
  });
  const lanes = Array.from({ length: count }, () => new CountingLane(all));
  const valueOf = (place: string) => store.get(refOf(place), clock.now_ms)?.[0] ?? 0;
  return { all, lanes, valueOf, waits, freed, clock };
}

Deno.test("calls with one key go to one worker together, and a call of another worker waits for their end", () => {
  const { all, lanes: [left, right], valueOf, waits, freed } = setUp(2);
  left!.send(callOf("a"), callOf("a"));
  right!.send(callOf("a"));
  assert.deepEqual([left!.under_way.length, right!.under_way.length], [2, 0]);
  left!.reply();
  right!.pump();
  assert.equal(right!.under_way.length, 0);
  assert.equal(freed.times, 0);
  left!.reply();
  assert.equal(freed.times, 1);
  right!.pump();
  right!.reply();
  assert.equal(valueOf("a"), 3);
  assert.deepEqual([waits.length, all.size], [1, 0]);
});

Deno.test("a worker cannot keep a key from another by sending more and more calls", () => {
  const { lanes: [left, right], valueOf } = setUp(2);
  left!.send(callOf("a"));
  right!.send(callOf("a"), callOf("a"));
  left!.send(callOf("a"));
  assert.equal(left!.under_way.length, 1, "the other worker was first");
  left!.reply();
  left!.pump();
  assert.equal(left!.under_way.length, 0);
  right!.pump();
  assert.equal(right!.under_way.length, 2, "calls that wait at one worker go together");
  while (right!.reply() !== undefined);
  left!.pump();
  left!.reply();
  assert.equal(valueOf("a"), 4);
});

Deno.test("a call that is no longer awaited frees its keys, and is skipped", () => {
  const { all, lanes: [left, right, third], freed } = setUp(3);
  left!.send(callOf("a"));
  const stalled = callOf("a", "b");
  right!.send(stalled);
  third!.send(callOf("b"));
  assert.equal(third!.under_way.length, 0, "its key belongs to the older call");
  stalled.done = true;
  all.forget(stalled);
  assert.equal(freed.times, 1);
  third!.pump();
  assert.equal(third!.under_way.length, 1);
  right!.send(callOf("c"));
  assert.deepEqual(right!.under_way.length, 1);
});

Deno.test("a value expires, however many calls come that do not write it", () => {
  const { all, lanes: [lane], clock, freed } = setUp(1);
  const { holds } = lane!;
  const call = callOf("a");
  const { chain, state: { keys } } = call;
  all.options.store.set(keys[0]!, new Uint8Array([7]), 0);
  const next = () => {
    holds.begin();
    return holds.mayTake(call) ? holds.take(chain)!.values[0]!.value : "waits";
  };
  assert.deepEqual(next(), new Uint8Array([7]));
  clock.now_ms = 999;
  assert.equal(next(), undefined, "the worker has it");
  holds.replied(chain, [], clock.now_ms);
  clock.now_ms = 1_000;
  assert.equal(next(), "waits", "until the end of the worker's calls");
  holds.replied(chain, [], clock.now_ms);
  assert.equal(freed.times, 1);
  assert.equal(next(), null);
  assert.equal(next(), undefined);
  holds.replied(chain, [{ place: 0, slot: 0, value: new Uint8Array([8]) }], clock.now_ms);
  clock.now_ms = 1_999;
  assert.equal(next(), undefined, "written since");
  clock.now_ms = 2_000;
  assert.equal(next(), "waits");
});

Deno.test("a worker gets the ended holds also after a request that was not sent", () => {
  const { lanes: [lane] } = setUp(1);
  const { holds } = lane!;
  const { chain } = callOf("a");
  const { values } = holds.take(chain)!;
  holds.replied(chain, [], 0);
  const unsent = holds.take(chain)!;
  assert.deepEqual(unsent.ended, [values[0]!.hold]);
  holds.unsent(chain, unsent);
  assert.deepEqual(holds.take(chain)!.ended, [values[0]!.hold, unsent.values[0]!.hold]);
});

Deno.test("the keys of a dead worker are free, with the values of its last reply", () => {
  const { all, lanes: [left, right], valueOf } = setUp(2);
  left!.send(callOf("a"), callOf("a"), callOf("a"));
  left!.reply();
  assert.equal(left!.die().length, 2);
  assert.equal(all.size, 0);
  right!.send(callOf("a"));
  right!.reply();
  assert.equal(valueOf("a"), 2);
});

Deno.test("whatever calls share keys, in any order and with deaths: counts are exact and no call stays", () => {
  const PLACES = ["a", "b", "c", "d"];
  const keys = fc.uniqueArray(fc.constantFrom(...PLACES), { minLength: 1, maxLength: 3 });
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ push: keys, lane: fc.nat(2) }) },
    { weight: 4, arbitrary: fc.record({ pump: fc.nat(2), room: fc.nat(4) }) },
    { weight: 4, arbitrary: fc.record({ reply: fc.nat(2) }) },
    { weight: 1, arbitrary: fc.record({ die: fc.nat(2) }) },
    { weight: 1, arbitrary: fc.record({ give_up: fc.nat(2) }) },
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
    const { all, lanes, valueOf } = setUp(3);
    const counts = new Map(PLACES.map((place) => [place, 0]));
    const replied = (call: Call | undefined) => {
      for (const { place } of call?.state.keys ?? []) counts.set(place, counts.get(place)! + 1);
    };
    for (const one of steps) {
      if ("push" in one) lanes[one.lane]!.queue.push(callOf(...one.push));
      else if ("pump" in one) lanes[one.pump]!.pump(one.room);
      else if ("reply" in one) replied(lanes[one.reply]!.reply());
      else if ("die" in one) lanes[one.die]!.die();
      else {
        const head = lanes[one.give_up]!.queue[0];
        if (head === undefined) continue;
        head.done = true;
        all.forget(head);
      }
      for (const place of PLACES) {
        const users = lanes.filter(({ under_way }) =>
          under_way.some(({ state: { keys } }) => keys.some((key) => key.place === place))
        );
        assert.ok(users.length <= 1, `${place} is held by ${users.length} workers`);
      }
    }
    // In every round a call goes, or all have gone.
    for (let round = 0; lanes.some(({ queue }) => queue.length > 0); round++) {
      assert.ok(round < 2_000, "a call waits for ever");
      for (const lane of lanes) {
        lane.pump(2);
        for (let call = lane.reply(); call !== undefined; call = lane.reply()) replied(call);
      }
    }
    for (const lane of lanes) {
      for (let call = lane.reply(); call !== undefined; call = lane.reply()) replied(call);
    }
    assert.deepEqual(PLACES.map(valueOf), PLACES.map((place) => counts.get(place)));
    assert.deepEqual([all.size, all.claimed.size], [0, 0]);
  }));
});
