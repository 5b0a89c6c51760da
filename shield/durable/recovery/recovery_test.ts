/** The verdicts on positions, and which of many to ask the log about. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  floorWith,
  isExpired,
  joinPage,
  judgeMissed,
  judgePosition,
  nextTarget,
} from "./recovery.ts";
import type { Chain, Standing, Verdict } from "./recovery.ts";

const standing: Standing = {
  epoch: "e1",
  lastOf: (epoch) => epoch === "e0" ? 150 : undefined,
  is_proven: true,
  is_current: true,
  floor: 100,
  last: 200,
  log_offset: 300,
  erased: 0,
  trimmed_through: 10,
  too_many_through: 50,
};
const bounds = {
  history_size: 100,
  history_ttl_seconds: 60,
  recovery_messages: 50,
  recovery_bytes: 1_000,
};

Deno.test("a position is judged by epoch, then by offset; the log is asked before it is refused", () => {
  const cases: [after: number, epoch: string, verified: boolean, verdict: Verdict][] = [
    [150, "other", false, "verify"],
    [150, "other", true, "epoch-changed"],
    [201, "e1", false, "verify"],
    [201, "e1", true, "end"],
    [300, "", true, "end"],
    [301, "", true, "offset-ahead"],
    [200, "e1", false, "end"],
    [199, "e1", false, "listed"],
    [100, "", false, "listed"],
    [99, "", false, "extend"],
    [51, "", false, "extend"],
    [50, "", false, "too-many"],
    [11, "", false, "too-many"],
    [10, "", false, "history-trimmed"],
    [0, "e1", false, "history-trimmed"],
    // An earlier incarnation of the log, which ended with offset 150.
    [150, "e0", false, "listed"],
    [99, "e0", false, "extend"],
    [151, "e0", false, "verify"],
    [151, "e0", true, "epoch-changed"],
  ];
  for (const [after, epoch, verified, verdict] of cases) {
    assert.equal(judgePosition({ after, epoch }, standing, verified), verdict, `${after} ${epoch}`);
  }
});

Deno.test("messages of the list are served only if the log was asked recently", () => {
  const old = { ...standing, is_current: false };
  const judged = [99, 100, 199, 200].map((after) => judgePosition({ after, epoch: "" }, old, true));
  assert.deepEqual(judged, ["extend", "compare", "compare", "end"]);
});

Deno.test("nothing is served from the list while its log is not confirmed", () => {
  const unproven = { ...standing, is_proven: false };
  for (const after of [99, 150, 200]) {
    assert.equal(judgePosition({ after, epoch: "e1" }, unproven, false), "verify");
  }
  assert.equal(judgePosition({ after: 150, epoch: "e1" }, unproven, true), "listed");
});

Deno.test("missed messages are limited first by the class, then by the limit of one SUB", () => {
  const judge = (messages: number, bytes: number, time_ms: number) =>
    judgeMissed({ messages, bytes, first: { time_ms } }, 100_000, bounds);
  assert.equal(judgeMissed({ messages: 0, bytes: 0, first: undefined }, 0, bounds), "");
  assert.equal(judge(50, 1_000, 40_000), "");
  assert.equal(judge(51, 1_000, 40_000), "too-many");
  assert.equal(judge(50, 1_001, 40_000), "too-many");
  assert.equal(judge(101, 1, 40_000), "history-trimmed");
  assert.equal(judge(1, 1, 39_999), "history-trimmed");
  assert.equal(isExpired(40_000, 100_000, bounds), false);
});

const stored = (offset: number) => ({
  offset,
  time_ms: 0,
  envelope: new Uint8Array(1),
  origin: "",
});

Deno.test("pages are joined only if each is complete", () => {
  let chain: Chain = { messages: [], complete: true };
  chain = joinPage(chain, { complete: true }, [stored(11)]);
  chain = joinPage(chain, { complete: true }, [stored(12)]);
  assert.deepEqual([chain.messages.length, chain.complete, floorWith(chain, 5, 20)], [2, true, 5]);
  chain = joinPage(chain, { complete: false }, [stored(15)]);
  assert.deepEqual([chain.messages.length, chain.complete, floorWith(chain, 5, 20)], [
    1,
    false,
    14,
  ]);
  chain = joinPage(chain, { complete: true }, [stored(16)]);
  assert.deepEqual([chain.messages.length, chain.complete, floorWith(chain, 5, 20)], [
    2,
    false,
    14,
  ]);
  assert.equal(floorWith({ messages: [], complete: false }, 5, 20), 20);
  assert.equal(floorWith({ messages: [], complete: true }, 30, 20), 20);
});

Deno.test("any number of positions is decided in a few reads, for any border", () =>
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.nat(100_000), { minLength: 1, maxLength: 2_000, size: "max" }),
      fc.nat(100_000),
      (positions, border) => {
        let left = positions.toSorted((a, b) => a - b);
        let has_failed = false;
        let reads = 0;
        while (left.length > 0) {
          const target = nextTarget(left, has_failed);
          reads++;
          if (target < border) {
            has_failed = true;
            left = left.filter((position) => position > target);
          } else left = left.filter((position) => position < target);
        }
        assert.ok(reads <= 2 + Math.log2(positions.length + 1), `${reads} of ${positions.length}`);
      },
    ),
    { numRuns: 200 },
  ));
