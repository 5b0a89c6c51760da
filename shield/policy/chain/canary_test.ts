/** Both lists of a canary: in each, one version is in force and the differing policies of the other observe. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { isSampled } from "../../../shared/sampling.ts";
import type { PolicyBinding, PolicyOutcome } from "../../../shared/records/verdict.ts";
import { binding, outcomeOf } from "../testing/modules.ts";
import { ActiveChain } from "./tenant_chain.ts";
import { canaryLists } from "./canary.ts";
import { Comparisons, type JudgedRequest } from "./comparisons.ts";

const policy = (name: string, letter: string, more: Partial<PolicyBinding> = {}) =>
  binding({ name, sha256: letter.repeat(64), ...more });
const shown = (all: readonly PolicyBinding[]) =>
  all.map(({ name, sha256, mode }) => `${name} ${sha256[0]} ${mode}`).join(", ");

Deno.test("the differing policies observe just before those in force, and the rest runs once", () => {
  const before = [policy("a", "a"), policy("b", "b", { order: 1 }), policy("gone", "c")];
  const after = [policy("a", "a"), policy("b", "d", { order: 1 }), policy("more", "e")];
  const { inside, outside, changed } = canaryLists(before, after);
  assert.deepEqual(changed, ["b", "gone", "more"]);
  const before_rules =
    "a a enforce, gone c enforce, more~new e observe, b~new d observe, b b enforce";
  assert.equal(shown(outside), before_rules);
  const after_rules =
    "a a enforce, gone~old c observe, more e enforce, b~old b observe, b d enforce";
  assert.equal(shown(inside), after_rules);
});

Deno.test("the same policies, a long name and a taken one are refused", () => {
  const one = [policy("a", "a")];
  assert.throws(() => canaryLists(one, [policy("a", "a")]), /no policy differs/);
  const long = "n".repeat(61);
  assert.throws(() => canaryLists([], [policy(long, "a")]), /at most 60 characters/);
  const taken = [policy("a", "b"), policy("a~new", "c")];
  assert.throws(() => canaryLists(one, taken), /needs the name a~new/);
});

const letters = fc.constantFrom("a", "b", "c");
const policies = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom("p", "q", "r", "s"),
    letter: letters,
    order: fc.integer({ min: -2, max: 2 }),
    room: fc.constantFrom("*", "chat-*"),
    mode: fc.constantFrom("enforce" as const, "observe" as const),
  }),
  { selector: ({ name }) => name },
).map((all) => all.map(({ name, letter, ...more }) => policy(name, letter, more)));

const shares = fc.double({ min: 0, max: 1, noNaN: true });

Deno.test("for every key and room one whole version is in force, and the other one also runs", () => {
  fc.assert(
    fc.property(policies, policies, shares, fc.string(), (before, after, share, key) => {
      let lists;
      try {
        lists = canaryLists(before, after);
      } catch {
        return;
      }
      const chain = new ActiveChain(1, before, { ...lists, share });
      const inside = new ActiveChain(1, after);
      const outside = new ActiveChain(1, before);
      const is_inside = isSampled(key, share);
      const [force, other] = is_inside ? [inside, outside] : [outside, inside];
      for (const room of ["chat-1", "lobby"]) {
        const plain = (all: readonly PolicyBinding[]) =>
          all.map(({ name, sha256, order, mode }) => `${name} ${sha256[0]} ${order} ${mode}`)
            .sort();
        const met = chain.of(key).applicable("on_message", room);
        const decides = met.filter(({ name }) => !name.includes("~"));
        assert.deepEqual(plain(decides), plain(force.applicable("on_message", room)));
        const asked = met.map(({ name, sha256 }) => `${name.split("~")[0]} ${sha256[0]}`);
        for (const { name, sha256 } of other.applicable("on_message", room)) {
          assert.ok(asked.includes(`${name} ${sha256[0]}`), `${name} runs`);
        }
        const orders = decides.map(({ order }) => order);
        assert.deepEqual(orders, orders.toSorted((a, b) => a - b));
      }
    }),
    { numRuns: 500, seed: 28 },
  );
});

/** An outcome of a policy of that chain. */
const outcome = (name: string, allowed: boolean, more: Partial<PolicyOutcome> = {}) =>
  outcomeOf(name, { allowed, reason: allowed ? "" : "spam", fuel: 2, duration_ms: 0.01, ...more });

function counting(before: PolicyBinding[], after: PolicyBinding[]) {
  const comparisons = new Comparisons();
  const lists = canaryLists(before, after);
  const set = (stage: number) => comparisons.set("acme", { id: "x", stage, sides: lists.sides });
  set(0);
  const judged = (where: "inside" | "outside", ...outcomes: PolicyOutcome[]) => {
    const caller = { identity: { user_id: "ann" } };
    const about = { tenant_id: "acme", chain: lists[where], room_id: "r", asked_ms: 7, caller };
    comparisons.record(about as unknown as JudgedRequest, outcomes);
  };
  return { comparisons, judged, set };
}

Deno.test("messages are compared whichever version is in force", () => {
  const { comparisons, judged, set } = counting([policy("p", "a")], [policy("p", "b")]);
  judged("outside", outcome("p~new", false), outcome("p", true));
  judged("inside", outcome("p~old", false), outcome("p", true));
  judged("inside", outcome("p~old", true), outcome("p", false, { fault: "trap" }));
  judged("outside", outcome("p~new", true, { fuel: 9 }), outcome("p", true));
  const [tally] = comparisons.tallies("acme");
  const { samples, fuel_old: _, fuel_new, ...counts } = tally!;
  const expected = { name: "p", compared: 4, enforced: 2, refused: 2, passed: 1, faults: 1 };
  assert.deepEqual(counts, expected);
  const first = { would: "refuse", user: "ann", room: "r", reason: "spam", at_ms: 7 };
  assert.deepEqual(samples[0], first);
  const wouldBe = samples.map(({ would, reason }) => `${would} ${reason}`);
  assert.deepEqual(wouldBe, ["refuse spam", "pass spam", "fault trap"]);
  assert.equal(fuel_new.length, 2);
  // The same stage continues, and the next one starts at zero.
  set(0);
  assert.equal(comparisons.tallies("acme")[0]?.compared, 4);
  set(1);
  assert.deepEqual(comparisons.tallies("acme"), []);
  comparisons.set("acme", undefined);
  judged("inside", outcome("p~old", true), outcome("p", false));
  assert.deepEqual(comparisons.tallies("acme"), []);
});

Deno.test("a policy that is new, removed, or only observes is compared with nothing", () => {
  const observing = policy("p", "b", { mode: "observe" });
  const { comparisons, judged } = counting([policy("gone", "a")], [observing, policy("q", "c")]);
  judged("outside", outcome("gone", false));
  judged("inside", outcome("gone~old", false), outcome("p", false), outcome("q", false));
  const tallies = comparisons.tallies("acme").map(({ name, enforced, refused, passed }) =>
    `${name}: ${enforced} in force, refuses ${refused}, passes ${passed}`
  );
  assert.deepEqual(tallies, [
    "gone: 1 in force, refuses 0, passes 2",
    "p: 1 in force, refuses 0, passes 0",
    "q: 1 in force, refuses 1, passes 0",
  ]);
});
