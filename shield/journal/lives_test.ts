/** What is told of Shields that ended: nothing of those that said so, and a hole of those that did not. */
import assert from "node:assert/strict";
import { keptLog, testSpine } from "../testing/spine.ts";
import { JournalLife, silentEnds, sweepMarks } from "./lives.ts";
import { JOURNAL_KEYS_BUCKET } from "./user_keys.ts";

const START_MS = 1_767_323_045_000;

async function testLives() {
  const { spine, [Symbol.asyncDispose]: dispose } = testSpine();
  const bucket = await spine.keyValue(JOURNAL_KEYS_BUCKET);
  const clock = { now_ms: START_MS };
  const life = (node_id: string, sure_ms: () => number = () => clock.now_ms) =>
    new JournalLife({
      bucket: () => Promise.resolve(bucket),
      node_id,
      sure_ms,
      log: keptLog().log,
      now: () => clock.now_ms,
    });
  const told = async () =>
    (await silentEnds(bucket, "acme", clock.now_ms)).map(({ hole }) => [
      hole.node,
      hole.from_ms - START_MS,
      hole.to_ms - START_MS,
    ]);
  return { bucket, clock, life, told, [Symbol.asyncDispose]: dispose };
}

Deno.test("journal lives: who ends in order, or has written nothing, leaves no hole", async () => {
  await using test = await testLives();
  const [ended, silent] = [test.life("s1"), test.life("s2")];
  ended.begin();
  await ended.end(true);
  await silent.end(true);
  test.clock.now_ms += 3_600_000;
  assert.deepEqual(await test.told(), []);
  assert.equal((await test.bucket.keys(["b"])).length, 1);
});

Deno.test("journal lives: who ends without a word leaves a hole up to its next start, or up to now", async () => {
  await using test = await testLives();
  const killed = test.life("s1", () => START_MS);
  killed.begin();
  await killed.end(false);
  test.clock.now_ms = START_MS + 50_000;
  assert.deepEqual(await test.told(), [], "it may be alive");
  test.clock.now_ms = START_MS + 70_000;
  assert.deepEqual(await test.told(), [["s1", -1_000, 70_000]], "until now");
  const [again, other] = [test.life("s1"), test.life("s2")];
  again.begin();
  other.begin();
  await other.end(true);
  await again.end(true);
  test.clock.now_ms += 3_600_000;
  assert.deepEqual(await test.told(), [["s1", -1_000, 70_000]], "until its next start");
});

Deno.test("journal lives: marks go once all of their time is gone, and what is no mark is none", async () => {
  await using test = await testLives();
  const old = test.life("s1");
  old.begin();
  await old.end(false);
  test.clock.now_ms += 1_000_000;
  const young = test.life("s1");
  young.begin();
  await young.end(false);
  await test.bucket.put(["b", "s3", "1"], new TextEncoder().encode("{"));
  assert.equal(await sweepMarks(test.bucket, START_MS + 500_000), 1);
  test.clock.now_ms += 70_000;
  assert.deepEqual((await test.told()).map(([node]) => node), ["s1"]);
});
