/**
 * Every fuzz target briefly, inputs that once broke one, and the fuzzer itself with planted faults. `deno task fuzz` is
 * the long run; docs/reliability.md has its figures.
 */
import assert from "node:assert/strict";
import { feed, FuzzFailure, inputAt } from "./fuzz/feed.ts";
import { growthOf, runTarget } from "./fuzz/run.ts";
import type { Target } from "./fuzz/target.ts";
import { makeTarget, TARGETS } from "./fuzz/targets.ts";

const SEED = 7;
const RUNS = 1_000;
const HANG_MS = 2_000;
const WATCH_MS = 120_000;

for (const name of TARGETS) {
  Deno.test(`fuzz: ${name} accepts or refuses any input`, async () => {
    const target = await makeTarget(name);
    for (const seed of target.seeds) await run(target, seed);
    const runs = Math.ceil(RUNS * Math.min(2, target.weight));
    const fed = await feed(target, { seed: SEED, from: 0, runs });
    assert.equal(fed.taken + fed.refused, runs);
    const judges = ["server-frames", "history-queries", "stored-documents", "judged-data"];
    if (judges.includes(name)) return;
    assert.ok(fed.taken > 0, "some inputs are good");
    assert.ok(fed.refused > runs / 4, "most are not");
  });
}

/** Each seed reaches the decoder unchanged; it may be refused, too. */
async function run(target: Target, bytes: Uint8Array): Promise<void> {
  try {
    await target.run(bytes);
  } catch (error) {
    assert.ok(target.isRefusal(error), `${error}`);
  }
}

Deno.test("fuzz: the same seed and position make the same input, others make others", async () => {
  const target = await makeTarget("client-frames");
  const texts = Array.from({ length: 200 }, (_, at) => inputAt(target, SEED, at).toBase64());
  assert.deepEqual(texts, texts.map((_, at) => inputAt(target, SEED, at).toBase64()));
  assert.ok(new Set(texts).size > 150, "inputs are not alike");
  assert.notDeepEqual(texts, texts.map((_, at) => inputAt(target, SEED + 1, at).toBase64()));
});

Deno.test("fuzz: a planted error is found, with its input and how to see it again", async () => {
  const target = await makeTarget("planted-throw");
  const error = await feed(target, { seed: SEED, from: 0, runs: 1_000 }).catch((thrown) => thrown);
  assert.ok(error instanceof FuzzFailure);
  assert.ok(error.bytes.length < 3);
  assert.deepEqual(inputAt(target, SEED, error.place), error.bytes);
  const result = await runTarget({
    target: "planted-throw",
    seed: SEED,
    from: 0,
    runs: 1_000,
    watch_ms: WATCH_MS,
  });
  assert.deepEqual(result.input, error.bytes);
  assert.match(result.problem ?? "", /RangeError: too short/);
  const again = `--target planted-throw --seed ${SEED} --from ${error.place} --runs 1`;
  assert.ok(result.problem?.includes(again));
});

Deno.test("fuzz: planted hangs, deaths and leaks are found by the process outside", async () => {
  const run = { seed: SEED, from: 0, runs: 640 };
  const hung = await runTarget({ ...run, target: "planted-hang", watch_ms: HANG_MS });
  assert.match(hung.problem ?? "", /no answer within/);
  const ended = await runTarget({ ...run, target: "planted-exit", watch_ms: WATCH_MS });
  assert.match(ended.problem ?? "", /the process ended with 7/);
  const grown = await runTarget({ ...run, target: "planted-growth", watch_ms: WATCH_MS });
  assert.match(grown.problem ?? "", /KiB more at the end/);
});

Deno.test("fuzz: growth is the memory at the end above the early memory", () => {
  assert.equal(growthOf([]), 0);
  assert.equal(growthOf([1, 1, 1]), 0);
  assert.equal(growthOf([1, 9, 9, 9]), 0, "what is loaded first is no leak");
  assert.equal(growthOf([1, 1, 2, 2, 3, 3, 4, 4]), 2);
});
