/** Leases of locks while the wall clock is changed, and between Brains whose clocks differ. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Leases } from "./leases.ts";
import type { Lock } from "./lock.ts";

const HOUR_MS = 3_600_000;
const AT = { tenant_id: "acme", room_id: "lobby" };

/** A Brain's two clocks, which the test moves. */
class Brain {
  wall_ms: number;
  monotonic_ms = 5;
  readonly leases: Leases;

  constructor(wall_ms = 1_700_000_000_000) {
    this.wall_ms = wall_ms;
    this.leases = new Leases({ now: () => this.wall_ms, monotonic_ms: () => this.monotonic_ms });
  }

  pass(ms: number): void {
    this.wall_ms += ms;
    this.monotonic_ms += ms;
  }

  grant(ttl_ms: number, fence = 7): Lock {
    const lock: Lock = {
      user_id: "u1",
      connection_id: "c1",
      since_ms: this.wall_ms,
      until_ms: this.wall_ms + ttl_ms,
      fence,
    };
    this.leases.see(AT, lock);
    return lock;
  }

  isLive(lock: Lock): boolean {
    return this.wall_ms < this.leases.current(AT, lock).until_ms;
  }
}

for (
  const [clock, by_ms] of [["ahead", HOUR_MS], ["behind", -HOUR_MS], ["right", 0]] as const
) {
  Deno.test(`a lease of another Brain begins again where it is first seen; that Brain's clock is ${clock}`, () => {
    const other = new Brain(1_700_000_000_000 + by_ms);
    const next = new Brain();
    const lock = other.grant(30_000);
    next.pass(10_000);
    next.leases.see(AT, lock);
    next.pass(15_000);
    next.leases.see(AT, lock);
    next.pass(14_999);
    assert.ok(next.isLive(lock), "not shorter");
    next.pass(1);
    assert.ok(!next.isLive(lock), "seeing it again does not begin it anew");
  });
}

Deno.test("an extension is a lease of its own", () => {
  const brain = new Brain();
  brain.grant(30_000);
  brain.wall_ms -= HOUR_MS;
  brain.pass(20_000);
  const extended = brain.grant(30_000);
  brain.pass(29_999);
  assert.ok(brain.isLive(extended));
  brain.pass(1);
  assert.ok(!brain.isLive(extended));
});

Deno.test("leases of unused rooms are dropped; a requested one restarts", () => {
  const brain = new Brain();
  const lock = brain.grant(30_000);
  brain.pass(10_000);
  brain.leases.keepOnly(() => true);
  assert.equal(brain.leases.current(AT, lock), lock);
  brain.leases.keepOnly(() => false);
  assert.equal(brain.leases.size, 0);
  assert.equal(brain.leases.current(AT, lock).until_ms, brain.wall_ms + 30_000);
  brain.pass(30_000);
  assert.ok(!brain.isLive(lock), "and ends");
});

Deno.test("reading an older document does not change the known lease", () => {
  const brain = new Brain();
  const older = brain.grant(30_000);
  brain.pass(10_000);
  const extended = brain.grant(30_000);
  brain.pass(10_000);
  brain.leases.current(AT, older);
  brain.leases.see(AT, extended);
  brain.pass(20_000);
  assert.ok(!brain.isLive(extended));
});

Deno.test("any steps of the clock, with any reads and writes between: never longer than granted", () => {
  const steps = fc.array(
    fc.record({
      pass_ms: fc.integer({ min: 0, max: 9_000 }),
      set_ms: fc.integer({ min: -2 * HOUR_MS, max: 2 * HOUR_MS }),
      does: fc.constantFrom("nothing", "read", "write"),
    }),
    { maxLength: 20 },
  );
  fc.assert(fc.property(steps, (list) => {
    const brain = new Brain();
    let lock = brain.grant(30_000);
    const ends_ms = brain.monotonic_ms + 30_000;
    for (const { pass_ms, set_ms, does } of list) {
      brain.pass(pass_ms);
      brain.wall_ms += set_ms;
      if (does === "write") lock = brain.leases.current(AT, lock);
      if (does !== "nothing") brain.leases.see(AT, lock);
      const rest_ms = ends_ms - brain.monotonic_ms;
      if (brain.isLive(lock)) assert.ok(rest_ms > -50, `${rest_ms}`);
      else assert.ok(rest_ms < 50, `${rest_ms}`);
    }
  }));
});
