/**
 * Properties over random histories: group J and C5 of the presence scenarios, and the laws of a merge. Two Shields
 * write, three Brains merge; messages are lost, duplicated and reordered.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  clockOf,
  createState,
  deltaSince,
  entriesOf,
  forget,
  leave,
  markDown,
  markUp,
  memberCount,
  merge,
  mergeFull,
  takeDelta,
  update,
} from "./state.ts";
import type { MergeResult, PresenceState } from "./state.ts";
import { enter, mergeState, NOW, pendingDeltas, TENANT, writer } from "./testing/replicas.ts";
import { allOnline, Watched } from "./testing/watched.ts";
import type { Delta, Writer } from "./types.ts";

const ROOMS = ["lobby", "den"];

/** A step; the meaning of the numbers depends on the act. */
interface Step {
  readonly act:
    | "write"
    | "announce"
    | "deliver"
    | "repeat"
    | "lose"
    | "pull"
    | "exchange"
    | "down"
    | "up"
    | "restart";
  readonly from: number;
  readonly to: number;
  readonly pick: number;
}

const stepOf = (...acts: Step["act"][]) =>
  fc.record({ act: fc.constantFrom(...acts), from: fc.nat(4), to: fc.nat(4), pick: fc.nat(63) });

const WRITES: Step["act"][] = ["write", "write", "write", "announce"];
const FAULTS: Step["act"][] = ["deliver", "deliver", "deliver", "repeat", "lose"];
const SYNCS: Step["act"][] = ["pull", "exchange"];
const LIVES: Step["act"][] = ["down", "up", "restart"];

/** A connection of a Shield joins a room, leaves, changes its metadata, or leaves everywhere. */
function write(state: PresenceState, pick: number): void {
  const name = `c${pick % 4}`;
  const room_id = ROOMS[(pick >> 2) % 2]!;
  if (pick % 16 === 15) {
    for (const room of ROOMS) leave(state, TENANT, room, name);
  } else if (pick % 5 === 4) update(state, TENANT, room_id, name, `${pick}`, NOW);
  else if (leave(state, TENANT, room_id, name) === undefined) enter(state, name, room_id);
}

/** Two Shields, three Brains, and the messages in flight to each Brain. */
class Cluster {
  shields: PresenceState[] = ["s0", "s1"].map((name) => createState(writer(name)));
  readonly brains = [0, 1, 2].map(() => new Watched(createState()));
  readonly mail: Delta[][] = [[], [], []];

  constructor() {
    for (const brain of this.brains) {
      for (const state of this.shields) brain.mark(markUp, state.self!);
    }
  }

  run({ act, from, to, pick }: Step): void {
    const shield = this.shields[from % 2]!;
    const brain = this.brains[to % 3]!;
    const mail = this.mail[to % 3]!;
    const at = pick % Math.max(mail.length, 1);
    if (act === "write") write(shield, pick);
    else if (act === "announce") this.#announce(shield);
    else if (act === "deliver") mail.splice(at, 1).forEach((delta) => brain.take(merge, delta));
    else if (act === "repeat") mail.slice(at, at + 1).forEach((delta) => brain.take(merge, delta));
    else if (act === "lose") mail.splice(at, 1);
    else if (act === "pull") {
      this.pull(brain, pick % 2 ? shield : this.brains[from % 3]!.state, shield.self!);
    } else if (act === "exchange") brain.exchange(this.brains[from % 3]!.state);
    else if (act === "down") brain.mark(markDown, shield.self!);
    else if (act === "up") this.#up(brain, shield.self!);
    else this.#restart(from % 2);
  }

  #announce(shield: PresenceState): void {
    const delta = takeDelta(shield);
    if (delta !== undefined) { for (const each of this.mail) each.push(delta); }
  }

  /** Only a known life comes up again; the liveness table refuses forgotten ones. */
  #up(brain: Watched, life: Writer): void {
    if (clockOf(brain.state, life) !== undefined) brain.mark(markUp, life);
  }

  /** A Shield dies with its connections; every Brain receives its next life. */
  #restart(index: number): void {
    const { node_id, incarnation } = this.shields[index]!.self!;
    const next = writer(node_id, incarnation + 1);
    this.shields[index] = createState(next);
    for (const brain of this.brains) {
      brain.mark(forget, { node_id, incarnation });
      brain.mark(markUp, next);
    }
  }

  /** Requests the missing changes of a life, and merges the answer. */
  pull(brain: Watched, source: PresenceState, life: Writer): void {
    const clock = clockOf(brain.state, life);
    const answer = clock === undefined ? undefined : deltaSince(source, life, clock);
    if (answer !== undefined) brain.take(answer.full ? mergeFull : merge, answer.delta);
  }

  /** Everybody is up, and every Brain gets its missing changes from the Shields. */
  heal(): void {
    for (const brain of this.brains) {
      for (const shield of this.shields) {
        brain.mark(markUp, shield.self!);
        for (let round = 0; round < 2; round++) this.pull(brain, shield, shield.self!);
      }
    }
  }

  /** Every Brain shows exactly the Shields' state. */
  check(): void {
    const truth = this.shields.flatMap(allOnline).sort();
    for (const { state } of this.brains) assert.deepEqual(allOnline(state), truth);
  }
}

function run(steps: readonly Step[]): Cluster {
  const cluster = new Cluster();
  for (const step of steps) cluster.run(step);
  return cluster;
}

const schedules = (...acts: Step["act"][]) =>
  fc.array(stepOf(...acts), { maxLength: 80, size: "max" });

// `Watched` asserts after every step that the view equals the replay of the reports (J2), that no ended entry joins
// again (J3) and that only joined entries leave (J4).
Deno.test("J1 no ghost and no lost member, J2 event replay equals the view, J3 no resurrection, J4 no phantom leave", () => {
  fc.assert(
    fc.property(schedules(...WRITES, ...FAULTS, ...SYNCS, ...LIVES), (steps) => {
      const cluster = run(steps);
      cluster.heal();
      cluster.check();
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("J1 replicas that received everything indirectly agree", () => {
  fc.assert(fc.property(schedules(...WRITES, ...FAULTS, ...SYNCS), fc.nat(2), (steps, first) => {
    const cluster = run(steps);
    for (const shield of cluster.shields) {
      for (let round = 0; round < 2; round++) {
        cluster.pull(cluster.brains[first]!, shield, shield.self!);
      }
    }
    for (const hop of [1, 2]) {
      const from = cluster.brains[(first + hop - 1) % 3]!.state;
      cluster.brains[(first + hop) % 3]!.exchange(from);
    }
    cluster.check();
  }));
});

Deno.test("J5 without gaps nothing is pending, and size depends on live entries, not on past ones", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(63), { minLength: 1, maxLength: 400, size: "max" }), (picks) => {
      const shield = createState(writer("s0"));
      const brain = createState();
      markUp(brain, shield.self!);
      for (const pick of picks) {
        write(shield, pick);
        const delta = takeDelta(shield);
        if (delta !== undefined) assert.equal(merge(brain, delta).outcome, "merged");
        assert.deepEqual(pendingDeltas(brain, shield.self!), []);
      }
      for (const state of [shield, brain]) {
        const live = [...entriesOf(state, shield.self!)];
        assert.equal(memberCount(state), live.length);
        assert.equal(state.connections.size, new Set(live.map((one) => one.connection_id)).size);
        const rooms = new Set(live.map(({ room_id }) => room_id)).size;
        assert.equal(state.tenants.get(TENANT)?.rooms.size ?? 0, rooms);
        assert.equal(state.issuers.size, Math.min(live.length, 1));
        assert.equal(state.replicas.size, 1);
      }
      const { draft, updated } = shield;
      assert.deepEqual([draft!.entries.size, draft!.removed.size, updated.size], [0, 0, 0]);
      for (const pick of picks) write(shield, pick);
      assert.ok(updated.size <= draft!.entries.size);
    }),
  );
});

const tags = ({ joins, leaves }: MergeResult) =>
  [joins, leaves].map((list) => list.map(({ entry }) => entry.counter).sort((a, b) => a - b));

Deno.test("J6 a delta does what the full state does, events too", () => {
  const writes = fc.array(fc.nat(63), { maxLength: 60, size: "max" });
  fc.assert(fc.property(writes, writes, writes, fc.boolean(), (first, second, third, is_up) => {
    const shield = createState(writer("s0"));
    const brain = createState();
    markUp(brain, shield.self!);
    for (const pick of first) write(shield, pick);
    const start = takeDelta(shield);
    for (const pick of second) write(shield, pick);
    const early = deltaSince(shield, shield.self!, 0)!;
    (early.full ? mergeFull : merge)(brain, early.delta);
    takeDelta(shield);
    for (const pick of third) write(shield, pick);
    takeDelta(shield);
    if (!is_up) markDown(brain, shield.self!);
    const other = structuredClone(brain);
    const { full, delta } = deltaSince(shield, shield.self!, clockOf(brain, shield.self!)!)!;
    assert.ok(!full || start === undefined);
    const by_delta = merge(brain, delta);
    const [by_state] = mergeState(other, shield);
    assert.equal(by_state!.outcome, by_delta.outcome);
    assert.deepEqual(tags(by_state!), tags(by_delta));
    assert.deepEqual(allOnline(other), allOnline(brain));
    assert.deepEqual([...entriesOf(other, shield.self!)], [...entriesOf(brain, shield.self!)]);
  }));
});

/** Announced deltas and, now and then, a Shield's complete state. */
function announced(steps: readonly Step[]): { messages: Delta[]; shields: PresenceState[] } {
  const cluster = new Cluster();
  const messages: Delta[] = [];
  for (const step of steps) {
    const shield = cluster.shields[step.from % 2]!;
    cluster.run(step);
    if (step.act === "pull") messages.push(deltaSince(shield, shield.self!, step.pick)!.delta);
  }
  return { messages: [...cluster.mail[0]!, ...messages], shields: cluster.shields };
}

function brainAfter(shields: readonly PresenceState[], messages: readonly Delta[]): PresenceState {
  const brain = createState();
  for (const { self } of shields) markUp(brain, self!);
  for (const delta of messages) merge(brain, delta);
  return brain;
}

const seen = (state: PresenceState, shields: readonly PresenceState[]) => [
  allOnline(state),
  shields.map(({ self }) => [clockOf(state, self!), [...entriesOf(state, self!)]]),
];

Deno.test("J1 merging is commutative: the order of deltas does not matter", () => {
  const orders = fc.tuple(
    schedules("write", "write", "announce", "pull"),
    fc.infiniteStream(fc.nat()),
  );
  fc.assert(fc.property(orders, ([steps, random]) => {
    const { messages, shields } = announced(steps);
    const shuffled = messages.map((delta) => ({ delta, at: random.next().value! }))
      .sort((a, b) => a.at - b.at).map(({ delta }) => delta);
    assert.deepEqual(
      seen(brainAfter(shields, shuffled), shields),
      seen(brainAfter(shields, messages), shields),
    );
  }));
});

Deno.test("J1 merging is associative: merging what another has merged is merging all of it", () => {
  const parts = fc.tuple(schedules("write", "write", "announce", "pull"), fc.nat(), fc.nat());
  fc.assert(fc.property(parts, ([steps, i, j]) => {
    const { messages, shields } = announced(steps);
    const at = messages.length > 0 ? i % messages.length : 0;
    const to = at + (messages.length > at ? j % (messages.length - at + 1) : 0);
    const x = messages.slice(0, at);
    const y = messages.slice(at, to);
    const z = messages.slice(to);
    const left = brainAfter(shields, [...x, ...y]);
    mergeState(left, brainAfter(shields, z));
    const inner = brainAfter(shields, y);
    mergeState(inner, brainAfter(shields, z));
    const right = brainAfter(shields, x);
    mergeState(right, inner);
    for (const state of [left, right]) for (const shield of shields) mergeState(state, shield);
    assert.deepEqual(seen(left, shields), seen(right, shields));
  }));
});

Deno.test("C5 merging twice is merging once, and the second time nothing is reported", () => {
  fc.assert(fc.property(schedules(...WRITES, ...FAULTS, ...SYNCS), (steps) => {
    const { brains: [x, y], shields } = run(steps);
    mergeState(x!.state, y!.state);
    const once = seen(x!.state, shields);
    for (const { joins, leaves } of mergeState(x!.state, y!.state)) {
      assert.deepEqual([joins, leaves], [[], []]);
    }
    assert.deepEqual(seen(x!.state, shields), once);
  }));
});
