/** When a breaker opens, lets one through and closes, and whom it slows instead. Pure: time is a number here. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Asking, createBreakers, SEVERAL_SENDERS } from "./breaker.ts";
import { REFUSALS_BEFORE_CLOSE } from "./slowed_sender.ts";

const LIMITS = { failures: 3, cool_down_ms: 1_000 };

function by(sender: string, more: Partial<Asking> = {}): Asking {
  return { tenant_id: "t", sender, source: sender, can_be_closed: true, ...more };
}

/** Breakers of which one, of module "m", has opened at 0, since a, b and c have failed. */
function opened() {
  const breakers = createBreakers(LIMITS);
  for (const sender of ["a", "b", "c"]) breakers.failure(by(sender), "m", 0);
  assert.equal(breakers.open().length, 1);
  return {
    breakers,
    hold: (sender: string, now_ms: number) => breakers.hold(by(sender), "m", now_ms)?.fault,
  };
}

Deno.test("one sender's failures, however many, block only this sender", () => {
  const pause = fc.integer({ min: 0, max: 5_000 });
  fc.assert(fc.property(fc.array(pause, { maxLength: 100 }), (pauses) => {
    const breakers = createBreakers(LIMITS);
    let now_ms = 0;
    for (const pause_ms of pauses) {
      assert.notEqual(breakers.failure(by("bad"), "m", now_ms += pause_ms), "opened");
      assert.equal(breakers.hold(by("good"), "m", now_ms), undefined);
      assert.equal(breakers.isClear(by("good", { tenant_id: "other" }), "m", now_ms), true);
    }
    assert.deepEqual(breakers.open(), []);
  }));
});

Deno.test("a failing sender is slowed for longer and longer, and receives the wait", () => {
  const breakers = createBreakers(LIMITS);
  const after = [1, 2, 3, 4].map(() => breakers.failure(by("bad"), "m", 0));
  assert.deepEqual(after, [undefined, undefined, "slowed", undefined]);
  assert.deepEqual(breakers.hold(by("bad"), "m", 500), {
    fault: "sender-slowed",
    retry_after_ms: 1_500,
  });
  assert.equal(breakers.hold(by("bad"), "other module", 500), undefined);
  assert.equal(breakers.hold(by("bad"), "m", 2_000), undefined, "one attempt");
  assert.equal(breakers.hold(by("bad"), "m", 2_000)?.fault, "sender-slowed");
  breakers.success(by("bad"), "m");
  assert.equal(breakers.hold(by("bad"), "m", 2_001), undefined);
});

Deno.test("a sender that continues in a pause is closed; a service's connection is not", () => {
  const breakers = createBreakers(LIMITS);
  const service = by("service", { can_be_closed: false });
  for (let time = 0; time < 3; time++) {
    for (const who of [by("bad"), service]) breakers.failure(who, "m", 0);
  }
  for (let time = 0; time < REFUSALS_BEFORE_CLOSE; time++) {
    assert.equal(breakers.hold(by("bad"), "m", 1)?.closes, undefined);
    assert.equal(breakers.hold(service, "m", 1)?.fault, "sender-slowed");
  }
  assert.equal(breakers.hold(by("bad"), "m", 1)?.closes, true);
  assert.equal(breakers.hold(service, "m", 1)?.closes, undefined);
});

Deno.test("several senders failing in a row open it, and a success between restarts the count", () => {
  const sender = fc.integer({ min: 0, max: 5 });
  const limits = { failures: 4, cool_down_ms: 1_000 };
  fc.assert(fc.property(fc.array(fc.tuple(sender, fc.boolean())), (calls) => {
    const breakers = createBreakers(limits);
    const faults = new Map<number, number>();
    let row: number[] = [];
    for (const [who, fails] of calls) {
      if (!fails) {
        breakers.success(by(`${who}`), "m");
        row = [];
        continue;
      }
      const count = (faults.get(who) ?? 0) + 1;
      faults.set(who, count);
      // Failures of slowed senders do not count for the module.
      if (count <= 3) row.push(who);
      const opens = row.length >= limits.failures && new Set(row).size >= SEVERAL_SENDERS;
      assert.equal(breakers.failure(by(`${who}`), "m", 0) === "opened", opens);
      if (opens) break;
    }
  }));
});

Deno.test("the rooms of a service count as separate senders, and as one where several have to fail", () => {
  const breakers = createBreakers(LIMITS);
  for (let room = 0; room < 20; room++) {
    const who = by(`service\n${room}`, { source: "service", can_be_closed: false });
    assert.equal(breakers.failure(who, "m", 0), undefined);
  }
  assert.deepEqual(breakers.open(), []);
});

Deno.test("failures without a responsible sender open it after as many, whoever called", () => {
  const breakers = createBreakers(LIMITS);
  const after = [1, 2, 3].map(() => breakers.failure(by("ann"), "m", 0, true));
  assert.deepEqual(after, [undefined, undefined, "opened"]);
  assert.equal(breakers.hold(by("bob"), "m", 1)?.fault, "breaker-open");
  assert.equal(breakers.senders, 0, "nobody is blamed");
});

Deno.test("an open breaker admits one sender without failures in each cool-down", () => {
  const { breakers, hold } = opened();
  assert.equal(breakers.hold(by("new"), "m", 400)?.retry_after_ms, 600);
  assert.equal(hold("a", 1_500), "breaker-open", "it has failed");
  assert.equal(hold("new", 1_500), undefined);
  assert.equal(hold("new", 1_501), "breaker-open", "one is under way");
  assert.equal(hold("new", 2_499), "breaker-open");
  assert.equal(hold("new", 2_500), undefined, "no answer came");
  breakers.failure(by("new"), "m", 2_600);
  assert.equal(hold("newer", 3_599), "breaker-open");
  assert.equal(hold("newer", 3_600), undefined);
  breakers.success(by("newer"), "m");
  assert.deepEqual(breakers.open(), []);
  assert.equal(hold("a", 3_601), undefined);
});

Deno.test("a failed sender may try when no other does, and does not delay others", () => {
  const { breakers, hold } = opened();
  assert.equal(hold("a", 1_999), "breaker-open");
  assert.equal(hold("a", 2_000), undefined);
  breakers.failure(by("a"), "m", 2_001);
  assert.equal(hold("b", 3_000), "breaker-open");
  assert.equal(hold("new", 2_002), undefined);
});

Deno.test("breakers are each tenant's and module's own, and bounded", () => {
  const most = { breakers: 2, senders: 10 };
  const breakers = createBreakers({ failures: 1, cool_down_ms: 10 }, most);
  const at = (tenant_id: string) => by("ann", { tenant_id });
  assert.equal(breakers.failure(at("a"), "m", 0), "opened");
  assert.equal(breakers.hold(at("a"), "m", 1)?.fault, "breaker-open");
  assert.equal(breakers.hold(at("b"), "m", 1), undefined);
  assert.equal(breakers.hold(at("a"), "n", 1), undefined);
  breakers.failure(at("a"), "n", 1);
  assert.deepEqual(breakers.open(), [
    { tenant_id: "a", sha256: "m" },
    { tenant_id: "a", sha256: "n" },
  ]);
  breakers.failure(at("b"), "m", 1);
  assert.equal(breakers.hold(at("a"), "m", 2), undefined, "the oldest one has gone");
  assert.equal(breakers.senders, 2);
  breakers.success(at("a"), "n");
  breakers.forget("m");
  assert.deepEqual(breakers.open(), []);
  assert.equal(breakers.senders, 1);
});

Deno.test("many failing senders of one tenant do not affect another tenant", () => {
  const breakers = createBreakers(LIMITS, { breakers: 10, senders: 100 });
  for (let fault = 0; fault < 3; fault++) breakers.failure(by("bad"), "m", 0);
  for (let sender = 0; sender < 1_000; sender++) {
    breakers.failure(by(`s${sender}`, { tenant_id: "crowd" }), "m", 1);
  }
  assert.deepEqual([breakers.senders, breakers.senders_dropped], [100, 901]);
  assert.equal(breakers.hold(by("bad"), "m", 2)?.fault, "sender-slowed");
});

Deno.test("a tenant whose faults are all forgiven equals one without faults", () => {
  const breakers = createBreakers(LIMITS);
  for (let fault = 0; fault < 3; fault++) breakers.failure(by("bad"), "m", 0);
  assert.equal(breakers.isQuiet("t"), false);
  assert.equal(breakers.isClear(by("bad"), "m", 89_999), false);
  assert.equal(breakers.isClear(by("bad"), "m", 90_000), true);
  assert.deepEqual([breakers.isQuiet("t"), breakers.senders], [true, 0]);
});

Deno.test("limits that change count from the next failure on, and for the next pause", () => {
  const limits = { failures: 10, cool_down_ms: 1_000 };
  const breakers = createBreakers(limits);
  for (const sender of ["a", "b"]) {
    assert.equal(breakers.failure(by(sender), "m", 0), undefined);
  }
  Object.assign(limits, { failures: 3, cool_down_ms: 5 });
  assert.equal(breakers.failure(by("c"), "m", 0), "opened");
  const holds = [4, 5].map((now_ms) => breakers.hold(by("new"), "m", now_ms)?.fault);
  assert.deepEqual(holds, ["breaker-open", undefined]);
});
