/** Reports about ended Shields: none for those that had written everything, and a loss for the others. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { startNats } from "../../tests/harness/nats_server.ts";
import { QUIET } from "../testing/logs.ts";
import { openEmbedded } from "../spine/embedded/embedded.ts";
import { watched } from "../spine/nats/testing/nats_harness.ts";
import { endOf, lossesOf, SILENT_MS } from "./life.ts";
import { Lives } from "./lives.ts";
import { OwnLife, registeredOf } from "./own_life.ts";

const START_MS = 1_767_323_045_000;
const HOUR_MS = 3_600_000;
const log = QUIET;

function testLives() {
  const spine = openEmbedded({ log, now: () => START_MS });
  const lives = new Lives(spine);
  const clock = { now_ms: START_MS };
  const begun: OwnLife[] = [];
  return {
    lives,
    clock,
    life(node_id: string) {
      const now = () => clock.now_ms;
      const own = { lives, node_id, kept_ms: HOUR_MS, log };
      const life = new OwnLife({ ...own, now, monotonic_ms: now });
      begun.push(life);
      return life;
    },
    async losses() {
      return lossesOf(await lives.all(), "journal", clock.now_ms).map((
        { life: { node_id }, from_ms, to_ms },
      ) => [node_id, from_ms - START_MS, to_ms - START_MS]);
    },
    async ends() {
      const all = await lives.all();
      return all.map((life) => `${life.node_id} ${endOf(life, all, clock.now_ms).how}`);
    },
    async [Symbol.asyncDispose]() {
      for (const life of begun) life.stop();
      await spine.drain();
    },
  };
}

Deno.test("lives: a Shield that ends in order, or has no writing component, leaves no loss", async () => {
  await using test = testLives();
  const ended = test.life("s1");
  const silent = test.life("s2");
  ended.begin("journal", () => test.clock.now_ms).end(true);
  await ended.end();
  await silent.end();
  test.clock.now_ms += HOUR_MS;
  assert.deepEqual(await test.losses(), []);
  assert.deepEqual(await test.ends(), ["s1 ended"]);
});

Deno.test("lives: an end that cannot be written is written later", async () => {
  await using test = testLives();
  const life = test.life("s1");
  life.begin("journal", () => test.clock.now_ms).end(true);
  await life.idle();
  const open = test.lives.bucket.bind(test.lives);
  let refusals = 3;
  test.lives.bucket = () => {
    if (refusals-- > 0) return Promise.reject(new ArqonError("spine-unavailable", "away"));
    return open();
  };
  // Long, so that only the bucket can end it.
  await life.end(600_000);
  test.clock.now_ms += HOUR_MS;
  assert.deepEqual(await test.ends(), ["s1 ended"]);
});

Deno.test("lives: a killed Shield leaves a loss up to its next start, or up to now", async () => {
  await using test = testLives();
  const killed = test.life("s1");
  killed.begin("journal", () => START_MS - 1_000);
  killed.stop();
  await killed.idle();
  test.clock.now_ms = START_MS + 15_000;
  assert.deepEqual(await test.losses(), [], "it may be alive");
  assert.deepEqual(await test.ends(), ["s1 lives"]);
  test.clock.now_ms = START_MS + 70_000;
  assert.deepEqual(await test.losses(), [["s1", -1_000, 70_000]], "until now");
  const again = test.life("s1");
  const other = test.life("s2");
  for (const life of [again, other]) {
    life.begin("journal", () => test.clock.now_ms).end(true);
    await life.end();
  }
  test.clock.now_ms += HOUR_MS;
  assert.deepEqual(await test.losses(), [["s1", -1_000, 70_000]], "until its next start");
  assert.deepEqual(await test.ends(), ["s1 killed", "s1 ended", "s2 ended"]);
});

Deno.test("lives: a component that could not write everything is a loss, though the Shield ended in order", async () => {
  await using test = testLives();
  const life = test.life("s1");
  const journal = life.begin("journal", () => START_MS);
  const usage = life.begin("usage", () => START_MS);
  test.clock.now_ms += 5_000;
  journal.end(false);
  usage.end(true);
  await life.end();
  assert.deepEqual(await test.losses(), [["s1", 0, 5_000]]);
  assert.deepEqual(lossesOf(await test.lives.all(), "usage", test.clock.now_ms), []);
});

Deno.test("lives: a component reports its progress at once", async () => {
  await using test = testLives();
  const life = test.life("s1");
  let until_ms = START_MS;
  const part = life.begin("usage", () => until_ms);
  await life.idle();
  until_ms += 3_000;
  part.mark();
  await life.idle();
  const [one] = await test.lives.all();
  assert.equal(one?.parts.usage?.until_ms, START_MS + 3_000);
});

Deno.test("lives: expired marks are deleted, and invalid entries are ignored", async () => {
  await using test = testLives();
  const old = test.life("s1");
  old.begin("journal", () => START_MS);
  await old.idle();
  test.clock.now_ms += 1_000_000;
  const young = test.life("s1");
  young.begin("journal", () => test.clock.now_ms);
  await young.idle();
  const bucket = await test.lives.bucket();
  await bucket.put(["life", "s3", "1"], new TextEncoder().encode("{"));
  await bucket.put(["life", "s3", "x"], new TextEncoder().encode("{}"));
  assert.equal(await test.lives.sweep(500_000, test.clock.now_ms), 1);
  assert.deepEqual(await test.ends(), ["s1 lives"]);
});

Deno.test("lives: questions wait for live Shields, by their latest incarnation, and not for ended ones", async () => {
  await using test = testLives();
  const [ended, killed, again] = ["ended", "killed", "again"].map((id) => test.life(id));
  for (const life of [ended, killed, again]) life!.begin("ledger", () => START_MS);
  await ended!.end();
  for (const life of [killed, again]) {
    life!.stop();
    await life!.idle();
  }
  test.clock.now_ms = START_MS + 15_000;
  const registered = async () =>
    registeredOf(await test.lives.all(), test.clock.now_ms)
      .toSorted((a, b) => a.node_id < b.node_id ? -1 : 1);
  const overFor = (over_for_ms: number) => ({ node_id: "ended", over_for_ms });
  assert.deepEqual(await registered(), [{ node_id: "again" }, overFor(15_000), {
    node_id: "killed",
  }]);
  const next = test.life("again");
  next.begin("ledger", () => test.clock.now_ms);
  await next.idle();
  test.clock.now_ms = START_MS + 25_000;
  assert.deepEqual(await registered(), [
    { node_id: "again" },
    overFor(25_000),
    { node_id: "killed", over_for_ms: 25_000 - SILENT_MS },
  ]);
});

const MARK = { is_over: false, parts: { journal: { until_ms: 0, is_over: false } } };

Deno.test("lives: the store's clock decides about killed Shields, whatever the clocks of writer and reader show", () => {
  for (const ahead_ms of [2 * HOUR_MS, -2 * HOUR_MS]) {
    const now_ms = START_MS + ahead_ms;
    const mark = { ...MARK, began_ms: START_MS - HOUR_MS, mark_ms: START_MS };
    const lives = { ...mark, node_id: "lives", age_ms: 3_000 };
    const killed = { ...mark, node_id: "killed", age_ms: SILENT_MS };
    const all = [lives, killed];
    assert.deepEqual(endOf(lives, all, now_ms), { how: "lives" });
    assert.deepEqual(endOf(killed, all, now_ms), { how: "killed", by_ms: START_MS + SILENT_MS });
    assert.deepEqual(registeredOf(all, now_ms), [
      { node_id: "lives" },
      { node_id: "killed", over_for_ms: 0 },
    ]);
  }
});

Deno.test("lives: a Shield restarted with its clock set back counts as alive", () => {
  const before = { ...MARK, node_id: "s1", began_ms: START_MS, mark_ms: START_MS + 9_000 };
  const after = { ...MARK, node_id: "s1", began_ms: START_MS - HOUR_MS, mark_ms: START_MS };
  const all = [{ ...after, age_ms: 2_000 }, { ...before, age_ms: 6_000 }];
  assert.deepEqual(all.map((life) => endOf(life, all, START_MS)), [
    { how: "lives" },
    { how: "killed", by_ms: before.mark_ms + SILENT_MS },
  ]);
  assert.deepEqual(registeredOf(all, START_MS), [{ node_id: "s1" }]);
});

Deno.test("lives on NATS: a Shield whose clock is two hours ahead reports no other as killed", async () => {
  await using nats = await startNats({ jetstream: true });
  await using one = await watched(nats.port);
  await using other = await watched(nats.port);
  const own = { lives: new Lives(one.spine), node_id: "s1", kept_ms: HOUR_MS, log };
  const life = new OwnLife({ ...own, now: Date.now, monotonic_ms: () => performance.now() });
  life.begin("journal", Date.now);
  await life.idle();
  const all = await new Lives(other.spine).all();
  for (const ahead_ms of [2 * HOUR_MS, -2 * HOUR_MS]) {
    assert.deepEqual(all.map((each) => endOf(each, all, Date.now() + ahead_ms)), [{
      how: "lives",
    }]);
  }
  await life.end();
});
