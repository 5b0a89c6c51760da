/**
 * Whatever the network does to messages and processes: once it stops, all Brains and all who watch
 * agree with the Shields, within a few heartbeats. In virtual time, from a seed.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { TestCluster } from "./testing/cluster.ts";
import type { TestBrain } from "./testing/cluster.ts";
import { TestFollower } from "./testing/follower.ts";
import { member } from "./testing/shield.ts";
import type { TestShield } from "./testing/shield.ts";

const BRAINS = ["b0", "b1", "b2"];
const CONNECTIONS = 6;

/** One thing that happens. `who` picks among what is there. */
type Step =
  | { readonly kind: "join" | "leave"; readonly who: number; readonly which: number }
  | {
    readonly kind: "announce" | "restartShield" | "restartBrain" | "freezeShield" | "freezeBrain";
    readonly who: number;
  }
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "loss"; readonly percent: number };

const who = fc.nat({ max: 5 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constantFrom("join", "leave"), who, which: who }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("announce"), who }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("wait"), ms: fc.nat({ max: 3_000 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom("restartShield", "restartBrain", "freezeShield", "freezeBrain"),
      who,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("loss"), percent: fc.constantFrom(0, 20, 60, 100) }),
  },
) as fc.Arbitrary<Step>;

class Schedule {
  readonly cluster = new TestCluster({ down_ms: 6_000, forget_ms: 30_000 });
  readonly brains: TestBrain[];
  readonly shields: TestShield[];
  readonly follower: TestFollower;
  #random: () => number;
  #percent = 0;

  constructor() {
    const { cluster } = this;
    this.brains = cluster.brains(...BRAINS);
    this.shields = ["s0", "s1"].map((node_id) => cluster.shield(node_id));
    this.follower = new TestFollower(cluster, "f0");
    cluster.join(this.follower);
    this.#random = cluster.port("faults").random;
    cluster.loses = () => this.#random() * 100 < this.#percent;
    cluster.run(2 * cluster.config.heartbeat_ms);
  }

  run(steps: readonly Step[]): void {
    for (const one of steps) this.#do(one);
    this.#percent = 0;
  }

  #do(one: Step): void {
    const { cluster, brains, shields } = this;
    if (one.kind === "wait") return cluster.run(one.ms);
    if (one.kind === "loss") return void (this.#percent = one.percent);
    const at = one.who % shields.length;
    const shield = shields[at]!;
    const brain = brains[one.who % brains.length]!;
    if (one.kind === "join") {
      const id = `${shield.id}-${one.which % CONNECTIONS}`;
      shield.join(member(id, "lobby", String(cluster.now_ms)));
    } else if (one.kind === "leave") shield.leave(`${shield.id}-${one.which % CONNECTIONS}`);
    else if (one.kind === "announce") shield.announce();
    else if (one.kind === "restartShield") {
      cluster.kill(shield);
      cluster.run(1);
      shields[at] = cluster.shield(shield.id);
    } else if (one.kind === "restartBrain") {
      cluster.kill(brain);
      cluster.run(1);
      brains[one.who % brains.length] = cluster.brain(brain.id);
    } else {
      const peer = one.kind === "freezeBrain" ? brain : shield;
      cluster.freeze(peer);
      cluster.run(one.who * 2_000);
      cluster.thaw(peer);
    }
  }
}

function marks(entries: Iterable<{ counter: number; connection_id: string }>): string[] {
  return [...entries].map(({ counter, connection_id }) => `${connection_id}#${counter}`).sort();
}

Deno.test("after any faults Brains and watchers converge to what the Shields have", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
      const schedule = new Schedule();
      const { cluster, brains, shields, follower } = schedule;
      schedule.run(steps);
      for (const shield of shields) shield.announce();
      cluster.run(cluster.config.brain_timeout_ms + 6 * cluster.config.heartbeat_ms);
      const truth = marks(shields.flatMap((shield) => shield.entries));
      for (const { id, presence } of brains) {
        assert.deepEqual(marks(presence.members("acme", "lobby")), truth, id);
        assert.deepEqual(presence.brains, BRAINS, id);
        assert.equal(presence.count("acme", "lobby").connections, truth.length);
      }
      assert.deepEqual(marks(follower.members.values()), truth, "the watcher");
      assert.deepEqual(follower.mistakes, []);
    }),
    { numRuns: 150 },
  );
});
