/**
 * Schedules of several Shields in one process, with a store that loses answers and Shields that die at every step. Each
 * time is published under one id, and none is missed.
 */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { pace } from "../../shared/testing/pace.ts";
import { until } from "../../shared/testing/until.ts";
import type { KeyValue } from "../../shared/spine/contract/spine.ts";
import { StoreTime } from "../../shared/spine/contract/store_time.ts";
import { createRandom } from "../../shared/testing/seeded.ts";
import { keptLog, testSpine } from "../testing/spine.ts";
import {
  claimed,
  decodeSchedule,
  encodeSchedule,
  paused,
  stateOf,
  withoutMissed,
} from "./schedule.ts";
import type { Schedule } from "./schedule.ts";
import type { TenantDeletions } from "../../shared/records/tenant_deletions.ts";
import { SCHEDULES_BUCKET } from "../../shared/records/buckets.ts";
import { Schedules } from "./schedules.ts";
import { EVERY_MS, KEY, optionsOf, read, scheduleOf } from "./testing/schedules.ts";
import { overriding } from "../../shared/testing/overriding.ts";

/** The schedules of one time each, and their distance in ms. */
const MANY = 150;
const APART_MS = 10;
const DAY_MS = 86_400_000;

Deno.test("each time is published under one id, whichever Shield dies and whichever answer is lost", async () => {
  await using engine = testSpine();
  const bucket = await engine.spine.keyValue(SCHEDULES_BUCKET);
  const random = createRandom(30);
  const times = new Map<string, number>();
  const lossy = overriding(bucket, {
    async update(...given) {
      if (random.chance(0.1)) throw new ArqonError("spine-unavailable", "before");
      const revision = await bucket.update(...given);
      if (random.chance(0.1)) throw new ArqonError("spine-unavailable", "after");
      return revision;
    },
  });
  let alive = 0;
  const all: Schedules[] = [];
  const start = (node_id: string) => {
    let is_gone = false;
    const one: Schedules = new Schedules(optionsOf(lossy, {
      node_id,
      left_ms: 2_000,
      async publish({ schedule_id, due_ms }) {
        if (random.chance(0.1)) throw new ArqonError("log-unavailable", "not now");
        const id = `${schedule_id}.${due_ms}`;
        times.set(id, (times.get(id) ?? 0) + 1);
        // The Shield is killed after the publish and before its outcome is stored.
        if (!is_gone && random.chance(0.1)) {
          is_gone = true;
          void one.close();
          alive--;
          all.splice(all.indexOf(one), 1);
          start(`${node_id}'`);
          await new Promise(() => {});
        }
      },
    }));
    alive++;
    all.push(one);
  };
  const begin_ms = Date.now();
  const wanted = new Set<string>();
  for (let at = 0; at < MANY; at++) {
    const at_ms = begin_ms + APART_MS * at;
    const one = { every_ms: undefined, from_ms: undefined, at_ms, next_ms: at_ms };
    await bucket.update(["acme", `n${at}`], encodeSchedule(scheduleOf(begin_ms, one)), 0);
    wanted.add(`n${at}.${at_ms}`);
  }
  for (const node_id of ["a", "b", "c"]) start(node_id);
  // Taken from the store: a Shield that set a schedule aside may have lost the answer.
  const aside = new Set<string>();
  const ended = async () => {
    const all = [];
    for (let at = 0; at < MANY; at++) {
      const one = await read(bucket, ["acme", `n${at}`]);
      if (one?.is_paused) aside.add(`n${at}`);
      all.push(one);
    }
    return all.every((one) =>
      one?.claim === null && one.next_ms === null && one.published + Number(one.is_paused) === 1
    );
  };
  await until("all have ended, each counted once", ended);
  assert.equal(alive, 3);
  // A schedule is set aside after two Shields died with it, or, on a busy machine, if a living Shield takes 2 s.
  assert.ok(aside.size < MANY / 2, `${aside.size} are set aside`);
  assert.deepEqual(new Set(times.keys()).difference(wanted), new Set());
  const missed = [...wanted].filter((id) => !times.has(id) && !aside.has(id.split(".")[0]!));
  assert.deepEqual(missed, []);
  assert.ok([...times.values()].some((count) => count > 1), "no message was repeated");
  for (const one of all) await one.close();
});

Deno.test("a refusal is recorded with its reason, and the next time is published normally", async () => {
  await using engine = testSpine();
  const bucket = await engine.spine.keyValue(SCHEDULES_BUCKET);
  const codes = [403, 429, 503];
  const schedules = new Schedules(optionsOf(bucket, {
    // A policy chooses its code, and refuses with any of them.
    publish() {
      const code = codes.shift();
      if (code === undefined) return Promise.resolve();
      return Promise.reject(new ArqonError("policy-rejected", "not today", { code }));
    },
  }));
  await bucket.update(KEY, encodeSchedule(scheduleOf(Date.now() - 5 * EVERY_MS)), 0);
  await until("one is published", async () => ((await read(bucket))?.published ?? 0) > 0);
  const { refused, missed } = (await read(bucket))!;
  assert.deepEqual({ refused, missed }, { refused: 3, missed: 0 });
  await schedules.close();
});

Deno.test("a time that is too late counts as missed, and a time claimed long ago is looked up in the log first", async () => {
  await using engine = testSpine();
  const bucket = await engine.spine.keyValue(SCHEDULES_BUCKET);
  const published: number[] = [];
  const sought: number[] = [];
  const now_ms = Date.now();
  const last_ms = now_ms - 3_600_000;
  const claim = { node_id: "gone", claimed_ms: last_ms };
  const at = { every_ms: undefined, from_ms: undefined };
  await bucket.update(
    ["acme", "late"],
    encodeSchedule(scheduleOf(now_ms, {
      every_ms: 1_000,
      from_ms: now_ms - 90_500,
      next_ms: now_ms - 90_500,
    })),
    0,
  );
  await bucket.update(
    ["acme", "claimed"],
    encodeSchedule(scheduleOf(now_ms, { ...at, at_ms: last_ms, next_ms: last_ms, claim })),
    0,
  );
  const schedules = new Schedules(optionsOf(bucket, {
    publish: ({ schedule_id, due_ms }) => {
      if (schedule_id === "late") published.push(due_ms);
      else assert.fail("it is in the log");
      return Promise.resolve();
    },
    isInLog: ({ due_ms }, claimed_ms) => {
      sought.push(due_ms, claimed_ms);
      return Promise.resolve(true);
    },
  }));
  const of = async (id: string) => {
    const entry = await bucket.get(["acme", id]);
    return entry && decodeSchedule(entry.value);
  };
  await until("both have ended", async () => {
    const late = await of("late");
    const claimed = await of("claimed");
    return claimed?.next_ms === null && (late?.next_ms ?? 0) > Date.now();
  });
  const late = (await of("late"))!;
  assert.equal(published[0], now_ms - 90_500 + 1_000 * late.missed);
  assert.ok(late.missed >= 30 && late.missed < 40, String(late.missed));
  assert.equal(late.published, published.length);
  assert.deepEqual(sought, [last_ms, last_ms]);
  await schedules.close();
});

Deno.test("a tenant whose messages cannot be published delays no other tenant's", async () => {
  await using engine = testSpine();
  const bucket = await engine.spine.keyValue(SCHEDULES_BUCKET);
  const now_ms = Date.now();
  const at = { every_ms: undefined, from_ms: undefined, at_ms: now_ms, next_ms: now_ms };
  for (let n = 0; n < 100; n++) {
    await bucket.update(["slow", `s${n}`], encodeSchedule(scheduleOf(now_ms, at)), 0);
  }
  const hung = Promise.withResolvers<void>();
  let waiting = 0;
  const schedules = new Schedules(optionsOf(bucket, {
    publish: ({ tenant_id }) => {
      if (tenant_id !== "slow") return Promise.resolve();
      waiting++;
      return hung.promise;
    },
    claim_ms: 60_000,
  }));
  try {
    await until("as many as allowed are running", () => waiting >= 16);
    await pace(100);
    await bucket.update(KEY, encodeSchedule(scheduleOf(now_ms, at)), 0);
    const isOver = async () => (await read(bucket))?.published === 1;
    await until("the other tenant's is published", isOver);
    hung.resolve();
    const all = Array.from({ length: 100 }, (_, n) => ["slow", `s${n}`]);
    await until("all are published", async () => {
      const read_all = await Promise.all(all.map((key) => read(bucket, key)));
      return read_all.every((one) => one?.published === 1);
    });
  } finally {
    hung.resolve();
    await schedules.close();
  }
});

Deno.test("a schedule that another Shield claims while it waits here is not published here", async () => {
  await using engine = testSpine();
  const bucket = await engine.spine.keyValue(SCHEDULES_BUCKET);
  const published: string[] = [];
  const held = Promise.withResolvers<void>();
  const publish = ({ schedule_id }: { schedule_id: string }) => {
    published.push(schedule_id);
    return held.promise;
  };
  await using stack = new AsyncDisposableStack();
  const due = () => scheduleOf(Date.now() - EVERY_MS, { next_ms: Date.now() - 1 });
  // The most that a tenant may publish at a time, and two more.
  const names = Array.from({ length: 16 }, (_, at) => `held-${at}`);
  for (const name of names) await bucket.put(["acme", name], encodeSchedule(due()));
  const revision = await bucket.put(["acme", "waits"], encodeSchedule(due()));
  await bucket.put(["acme", "waits-too"], encodeSchedule(due()));
  const one = new Schedules(optionsOf(bucket, { publish, random: () => 0, claim_ms: 60_000 }));
  stack.defer(() => one.close());
  await until("all places are in use", () => published.length === names.length);
  const by = { node_id: "other", now_ms: Date.now(), is_left: false };
  await bucket.update(["acme", "waits"], encodeSchedule(claimed(due(), by)), revision);
  await until(
    "the schedule is known",
    () => [...one.all].some(({ claim }) => claim?.node_id === "other"),
  );
  held.resolve();
  await until(
    "the waiting schedules have ended",
    async () => (await read(bucket, ["acme", "waits-too"]))!.published > 0,
  );
  assert(!published.includes("waits"));
});

for (const ahead_ms of [-72, -2, 2, 72].map((hours) => hours * 3_600_000)) {
  Deno.test(`a Shield whose clock is off by ${ahead_ms} ms publishes by the store's, and misses nothing`, async () => {
    await using engine = testSpine();
    const bucket = await engine.spine.keyValue(SCHEDULES_BUCKET);
    const shared = overriding(bucket, { storeTime: () => Promise.resolve(Date.now()) });
    const begin_ms = Date.now();
    const late_ms = begin_ms + 30 * 60_000;
    const once = { every_ms: undefined, from_ms: undefined, at_ms: late_ms, next_ms: late_ms };
    await bucket.update(["acme", "later"], encodeSchedule(scheduleOf(begin_ms, once)), 0);
    await bucket.update(KEY, encodeSchedule(scheduleOf(begin_ms - 3 * EVERY_MS)), 0);
    const now = () => Date.now() + ahead_ms;
    const time = new StoreTime({ bucket: shared, now, monotonic_ms: () => performance.now() });
    await time.ask();
    const schedules = new Schedules(optionsOf(bucket, { now: () => time.now(), look_ms: 10 }));
    await schedules.ready;
    await until("some are published", async () => (await read(bucket))!.published >= 3);
    await schedules.close();
    const { missed, next_ms } = (await read(bucket))!;
    assert.equal(missed, 0);
    assert.ok(next_ms! <= Date.now() + EVERY_MS);
    const later = await read(bucket, ["acme", "later"]);
    assert.deepEqual([later?.published, later?.missed, later?.next_ms], [0, 0, late_ms]);
  });
}

Deno.test("what a clock that is set forward makes due does not wait for its former time", async () => {
  await using engine = testSpine();
  const bucket = await engine.spine.keyValue(SCHEDULES_BUCKET);
  let ahead_ms = 0;
  const now = () => Date.now() + ahead_ms;
  const at_ms = now() + 50 * 60_000;
  const at = { every_ms: undefined, from_ms: undefined, at_ms, next_ms: at_ms };
  await bucket.update(KEY, encodeSchedule(scheduleOf(now(), at)), 0);
  const schedules = new Schedules(optionsOf(bucket, { now, look_ms: 10 }));
  await schedules.ready;
  await pace(50);
  assert.equal((await read(bucket))?.published, 0);
  ahead_ms = 50 * 60_000 + 1_000;
  await until("it is published", async () => (await read(bucket))?.published === 1);
  await schedules.close();
});

Deno.test("a single time is not missed by a process that began with its clock ahead", async () => {
  await using engine = testSpine();
  const bucket = await engine.spine.keyValue(SCHEDULES_BUCKET);
  const clock = { ahead_ms: DAY_MS, passed_ms: 0 };
  const now = () => Date.now() + clock.ahead_ms + clock.passed_ms;
  const at = (at_ms: number) => ({
    every_ms: undefined,
    from_ms: undefined,
    at_ms,
    next_ms: at_ms,
  });
  const put = (id: string, at_ms: number) =>
    bucket.update(["acme", id], encodeSchedule(scheduleOf(at_ms, at(at_ms))), 0);
  await put("soon", Date.now() + 100);
  await put("late", Date.now() - 90_000);
  const monotonic_ms = () => performance.now() + clock.passed_ms;
  const schedules = new Schedules(optionsOf(bucket, { now, monotonic_ms, look_ms: 10 }));
  await schedules.ready;
  await pace(50);
  const missed = async (id: string) => (await read(bucket, ["acme", id]))?.missed;
  assert.deepEqual([await missed("soon"), await missed("late")], [0, 0]);
  clock.ahead_ms = 0;
  await until(
    "it is published",
    async () => (await read(bucket, ["acme", "soon"]))?.published === 1,
  );
  await pace(50);
  assert.equal(await missed("late"), 0, "the clock was set just now");
  clock.passed_ms = 3_600_000;
  await until("the other counts as missed", async () => await missed("late") === 1);
  await schedules.close();
});

for (const hours of [2, -2]) {
  Deno.test(`a time that another Shield may have published is looked up in the log first, with the clock set by ${hours} h`, async () => {
    await using engine = testSpine();
    const bucket = await engine.spine.keyValue(SCHEDULES_BUCKET);
    const due_ms = Date.now() - 100;
    const claim = { node_id: "gone", claimed_ms: due_ms + hours * 3_600_000 };
    const at = { every_ms: undefined, from_ms: undefined, at_ms: due_ms, next_ms: due_ms };
    await bucket.update(KEY, encodeSchedule(scheduleOf(due_ms, { ...at, claim })), 0);
    const schedules = new Schedules(optionsOf(bucket, {
      publish: () => assert.fail("it is in the log"),
      isInLog: () => Promise.resolve(true),
    }));
    await until("it has ended", async () => (await read(bucket))?.next_ms === null);
    assert.equal((await read(bucket))?.last?.outcome, "published");
    await schedules.close();
  });
}

Deno.test("an ended schedule is deleted after a day by the store's clock, whatever the wall clocks show", async () => {
  await using engine = testSpine();
  const bucket = await engine.spine.keyValue(SCHEDULES_BUCKET);
  const over = { every_ms: undefined, from_ms: undefined, at_ms: 1, next_ms: null };
  await bucket.update(KEY, encodeSchedule(scheduleOf(Date.now(), over)), 0);
  const shieldOf = (ahead_ms: number, age_ms: number) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const aged = overriding(bucket, {
      get: async (key) => {
        resolve();
        const entry = await bucket.get(key);
        return entry && { ...entry, age_ms };
      },
    });
    const now = () => Date.now() + ahead_ms;
    return { schedules: new Schedules(optionsOf(aged, { now, random: () => 0 })), asked: promise };
  };
  const early = shieldOf(2 * DAY_MS, DAY_MS - 1);
  await early.asked;
  await early.schedules.close();
  assert.notEqual(await read(bucket), undefined);
  const late = shieldOf(DAY_MS, DAY_MS);
  await until("it is deleted", async () => await read(bucket) === undefined);
  await late.schedules.close();
});

/** Runs a Shield that dies during its `at`th publish. Resolves then. */
function dying(bucket: KeyValue, node_id: string, at = 1): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let requests = 0;
  const one: Schedules = new Schedules(optionsOf(bucket, {
    node_id,
    publish: () => {
      if (++requests === at) {
        void one.close();
        resolve();
      }
      return new Promise(() => {});
    },
  }));
  return promise;
}

Deno.test("a schedule is set aside after two processes died while publishing it, its state gives the reason, and it can be resumed", async () => {
  await using engine = testSpine();
  const bucket = await engine.spine.keyValue(SCHEDULES_BUCKET);
  const due_ms = Date.now();
  await bucket.update(KEY, encodeSchedule(scheduleOf(due_ms - EVERY_MS)), 0);
  await dying(bucket, "a");
  // The same Shield, started again.
  await dying(bucket, "a");
  const published: number[] = [];
  const outcomes: string[] = [];
  const { log, lines } = keptLog();
  const third = new Schedules(optionsOf(bucket, {
    node_id: "a",
    log,
    left_ms: 200,
    onTime: (outcome) => void outcomes.push(outcome),
    publish: ({ due_ms }) => Promise.resolve(void published.push(due_ms)),
  }));
  await until("it is set aside", async () => (await read(bucket))?.is_paused === true);
  const aside = (await read(bucket))!;
  assert.equal(stateOf(aside), "set_aside");
  assert.deepEqual([aside.claim, aside.last?.outcome, aside.last?.due_ms], [
    null,
    "set_aside",
    due_ms,
  ]);
  assert.deepEqual([published, outcomes], [[], ["set_aside"]]);
  assert.match(lines.join("\n"), /two processes died while they published a schedule/);
  const entry = (await bucket.get(KEY))!;
  await bucket.update(KEY, encodeSchedule(paused(aside, false, Date.now())), entry.revision);
  await until("it is published again", () => published.length > 0);
  assert.ok(published[0]! > due_ms);
  await third.close();
});

Deno.test("a living process that cannot publish now does not count as dead", async () => {
  await using engine = testSpine();
  const bucket = await engine.spine.keyValue(SCHEDULES_BUCKET);
  await bucket.update(KEY, encodeSchedule(scheduleOf(Date.now() - EVERY_MS)), 0);
  await dying(bucket, "a");
  let tries = 0;
  const options = {
    left_ms: 1_000,
    publish: () =>
      ++tries < 8
        ? Promise.reject(new ArqonError("log-unavailable", "not now"))
        : Promise.resolve(),
  };
  const both = ["b", "c"].map((node_id) =>
    new Schedules(optionsOf(bucket, { node_id, ...options }))
  );
  await until("it is published", async () => ((await read(bucket))?.published ?? 0) > 0);
  assert.ok(tries >= 8);
  for (const one of both) await one.close();
});

Deno.test("a living process with more to try than it can in time does not count as dead", async () => {
  await using engine = testSpine();
  const bucket = await engine.spine.keyValue(SCHEDULES_BUCKET);
  const at_ms = Date.now();
  const once = { every_ms: undefined, from_ms: undefined, at_ms, next_ms: at_ms };
  const keys = Array.from({ length: 200 }, (_, at) => ["acme", `s${at}`]);
  for (const key of keys) await bucket.update(key, encodeSchedule(scheduleOf(at_ms, once)), 0);
  let tries = 0;
  const publish = async () => {
    await pace(100);
    // The log is unavailable for some rounds, each of which takes longer than a claim may.
    if (++tries < 600) throw new ArqonError("log-unavailable", "not now");
  };
  const { log, lines } = keptLog();
  const both = ["b", "c"].map((node_id) =>
    new Schedules(optionsOf(bucket, { node_id, publish, log, left_ms: 500 }))
  );
  await until("all are published", async () => {
    const all = await Promise.all(keys.map((key) => read(bucket, key)));
    assert.ok(all.every((one) => one?.is_paused === false), "none is set aside");
    return all.every((one) => one?.published === 1);
  });
  const warned = lines.filter((line) => line.includes("could not be published"));
  assert.ok(warned.length < tries / 2, `${warned.length} lines about ${tries} attempts`);
  for (const one of both) await one.close();
});

Deno.test("schedules that only were due at the same time continue: an abandoned claim is tried alone", async () => {
  await using engine = testSpine();
  const bucket = await engine.spine.keyValue(SCHEDULES_BUCKET);
  const others = ["a", "b", "z"];
  for (const id of ["tick", ...others]) {
    await bucket.update(["acme", id], encodeSchedule(scheduleOf(Date.now() - EVERY_MS)), 0);
  }
  await dying(bucket, "one", 4);
  const died = Promise.withResolvers<void>();
  let is_dead = false;
  const second: Schedules = new Schedules(optionsOf(bucket, {
    node_id: "two",
    claim_ms: 2_000,
    async publish({ schedule_id }) {
      if (schedule_id !== "tick") await pace(200);
      else {
        is_dead = true;
        void second.close();
        died.resolve();
      }
      if (is_dead) await new Promise(() => {});
    },
  }));
  await died.promise;
  const third = new Schedules(optionsOf(bucket, { node_id: "three", left_ms: 200 }));
  await until("it is set aside", async () => (await read(bucket))?.is_paused === true);
  for (const id of others) {
    await until("it is published", async () => {
      const one = await read(bucket, ["acme", id]);
      assert.equal(one?.is_paused, false);
      return one.published > 0;
    });
  }
  await third.close();
});

Deno.test("skipped times of a period are all counted, and only a few of a cron expression", () => {
  const passed = (more: Partial<Schedule>, oldest_ms: number) => {
    const { missed, next_ms, last } = withoutMissed(scheduleOf(0, more), oldest_ms, oldest_ms);
    return [missed, next_ms, last?.due_ms];
  };
  // Due at 1,000, 2,000 …
  assert.deepEqual(passed({}, 1_000), [0, 1_000, undefined]);
  assert.deepEqual(passed({}, 1_001), [1, 2_000, 1_000]);
  assert.deepEqual(passed({}, 4_000), [3, 4_000, 3_000]);
  assert.deepEqual(passed({ until_ms: 5_500 }, 60_000), [5, null, 5_000]);
  assert.deepEqual(passed({}, DAY_MS), [10_000, DAY_MS, DAY_MS - 1_000]);
  const cron = { every_ms: undefined, from_ms: undefined, cron: "* * * * * *" };
  assert.deepEqual(passed(cron, 4_000), [3, 4_000, 3_000]);
  assert.deepEqual(passed(cron, DAY_MS), [65, DAY_MS, 65_000]);
});

Deno.test("a message that is held until its tenant is deleted does not stay", async () => {
  await using engine = testSpine();
  const bucket = await engine.spine.keyValue(SCHEDULES_BUCKET);
  const taken = Promise.withResolvers<number>();
  const keep: TenantDeletions["keep"] = async (_tenant_id, _since, write, undo) =>
    void await undo(await write());
  const schedules = new Schedules(optionsOf(bucket, {
    deletions: { known: () => 0, keep },
    publish: () => Promise.resolve(7),
    takeBack: (_due, offset) => Promise.resolve(taken.resolve(offset)),
  }));
  await bucket.put(KEY, encodeSchedule(scheduleOf(Date.now(), { next_ms: Date.now() })));
  assert.equal(await taken.promise, 7);
  await schedules.close();
});
