/** The checker of a soak run finds each thing that can go wrong, and nothing where nothing did. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { noFaults, RoomCheck } from "./room_check.ts";

const HEARERS = 3;

/** A room in which some messages were refused and everybody heard the others in order. */
function clean(refused: readonly boolean[], skip: (hearer: number, sequence: number) => boolean) {
  const check = new RoomCheck("acme", "r", HEARERS);
  for (const is_refused of refused) {
    const sequence = check.send();
    if (!is_refused) {
      for (let hearer = 0; hearer < HEARERS; hearer++) {
        if (!skip(hearer, sequence)) {
          check.heard(hearer, { tenant_id: "acme", room_id: "r", sequence });
        }
      }
    }
    check.answered(sequence, is_refused ? "rate-limited" : "");
  }
  return check;
}

Deno.test("nothing is found where every message that was taken came once and in order", () => {
  fc.assert(fc.property(fc.array(fc.boolean()), (refused) => {
    const check = clean(refused, () => false);
    assert.equal(check.outstanding, 0);
    assert.deepEqual(check.finish(), noFaults());
    const count = refused.filter((is_refused) => is_refused).length;
    assert.equal(check.refusals.get("rate-limited") ?? 0, count);
  }));
});

Deno.test("one delivery that is missing, anywhere, is found", () => {
  const hole = fc.record({ hearer: fc.nat(HEARERS - 1), index: fc.nat() });
  fc.assert(
    fc.property(fc.array(fc.boolean(), { minLength: 1 }), hole, (refused, { hearer, index }) => {
      const taken = refused.flatMap((is_refused, at) => is_refused ? [] : [at + 1]);
      const missing = taken[index % taken.length];
      const check = clean(refused, (who, sequence) => who === hearer && sequence === missing);
      assert.equal(check.finish().lost, missing === undefined ? 0 : 1);
    }),
  );
});

Deno.test("a repeat, a swap, a stranger, a second answer and none are found", () => {
  const message = (sequence: number, more: object = {}) => (
    { tenant_id: "acme", room_id: "r", sequence, ...more }
  );
  const check = new RoomCheck("acme", "r", 1);
  for (let count = 0; count < 4; count++) check.send();
  check.heard(0, message(1));
  check.heard(0, message(1));
  check.heard(0, message(3));
  check.heard(0, message(2));
  check.heard(0, message(4, { tenant_id: "zeta" }));
  check.heard(0, message(9));
  check.answered(1, "");
  check.answered(1, "");
  const { repeated_or_reordered, foreign, answered_twice, unanswered, lost } = check.finish();
  assert.deepEqual([repeated_or_reordered, foreign, answered_twice, unanswered], [2, 2, 1, 3]);
  // The swapped one, which came too late, and the last.
  assert.equal(lost, 2);
});
