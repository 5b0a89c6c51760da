/** The journal's keys: one per user, the same on every Shield, and permanently deleted once the user is erased. */
import assert from "node:assert/strict";
import { configFrom } from "../../shared/config/load.ts";
import { QUIET } from "../../shared/testing/logs.ts";
import { isNoKey, NO_KEY, type UserKey } from "../../shared/journal/user_keys.ts";
import { openSpine } from "../../shared/spine/open.ts";
import type { KeyValue, Spine } from "../../shared/spine/contract/spine.ts";
import { turnsDuring } from "../../shared/testing/turns_during.ts";
import { until } from "../../shared/testing/until.ts";
import { startNats } from "../../tests/harness/nats_server.ts";
import { JOURNAL_KEYS_BUCKET, JournalKeys } from "./user_keys.ts";

const DAY_MS = 86_400_000;
const log = QUIET;

interface Bed {
  readonly bucket: KeyValue;
  /** The keys of another Shield. */
  shield(keys_max?: number, passes?: () => boolean): Promise<JournalKeys>;
  /** Time that passes; the wall clocks are ahead of it by `ahead_ms`. */
  now_ms: number;
  ahead_ms: number;
}

/** Runs a test on the embedded engine, and on NATS with a connection for each Shield. */
function onBoth(name: string, run: (bed: Bed) => Promise<void>): void {
  const on = async (config: Parameters<typeof openSpine>[0], is_shared: boolean) => {
    const spines: Spine[] = [];
    const open = async () => {
      const [first] = spines;
      if (first !== undefined && is_shared) return first;
      const spine = await openSpine(config, { log, now: Date.now });
      spines.push(spine);
      return spine;
    };
    const all: JournalKeys[] = [];
    const bed: Bed = {
      now_ms: Date.now(),
      ahead_ms: 0,
      bucket: await (await open()).keyValue(JOURNAL_KEYS_BUCKET),
      async shield(keys_max = 100, passes = () => true) {
        const spine = await open();
        const opened = await spine.keyValue(JOURNAL_KEYS_BUCKET);
        const { watch } = opened;
        const bucket: KeyValue = Object.assign(opened, {
          watch: (...[prefix, onChange, options]: Parameters<KeyValue["watch"]>) =>
            watch.call(opened, prefix, (change) => passes() && onChange(change), options),
        });
        const now = () => bed.now_ms + bed.ahead_ms;
        const clocks = { now, monotonic_ms: () => bed.now_ms };
        const keys = new JournalKeys({ bucket, spine, log, ...clocks, keys_max });
        Reflect.deleteProperty(bucket, "watch");
        all.push(keys);
        return keys;
      },
    };
    try {
      await run(bed);
    } finally {
      for (const keys of all) keys.close();
      for (const spine of spines) await spine.drain();
    }
  };
  Deno.test(`journal keys, embedded: ${name}`, () => on(configFrom({}), true));
  Deno.test(`journal keys, nats: ${name}`, async () => {
    await using server = await startNats({ jetstream: true });
    await on(configFrom({ nats: { urls: [server.url] } }), false);
  });
}

const hex = (bytes: Uint8Array | undefined) => bytes?.toHex();

onBoth(
  "a user has one key on all Shields, another user and another tenant have others",
  async (bed) => {
    const one = await bed.shield();
    const two = await bed.shield();
    const users = Array.from({ length: 50 }, (_, at) => `user-${at}`);
    const [mine, theirs] = await Promise.all([
      one.forWriting("acme", users),
      two.forWriting("acme", users),
    ]);
    assert.deepEqual(mine.map(({ key }) => hex(key)), theirs.map(({ key }) => hex(key)));
    assert.deepEqual(mine.map(({ id }) => hex(id)), theirs.map(({ id }) => hex(id)));
    const [other] = await one.forWriting("globex", ["user-0"]);
    const all = [...mine, other!];
    assert.equal(new Set(all.map(({ key }) => hex(key))).size, 51);
    assert.equal(new Set(all.map(({ id }) => hex(id))).size, 51);
    const read = await (await bed.shield()).forReading("acme", mine.map(({ id }) => id));
    assert.deepEqual(read.map(hex), mine.map(({ key }) => hex(key)));
    assert.deepEqual(
      await two.forReading("globex", [mine[0]!.id]),
      [undefined],
      "another tenant's",
    );
  },
);

onBoth("an erased user's key is deleted on every Shield, and a new one follows", async (bed) => {
  const one = await bed.shield();
  const two = await bed.shield();
  const [before, kept] = await one.forWriting("acme", ["ann", "bob"]);
  assert.deepEqual(await two.forWriting("acme", ["ann", "bob"]), [before, kept]);
  assert.deepEqual((await two.forReading("acme", [before!.id])).map(hex), [hex(before!.key)]);
  assert.equal(await one.erase("acme", "ann"), 1);
  assert.equal(await one.erase("acme", "ann"), 0, "there is none left");
  assert.deepEqual(await one.forReading("acme", [before!.id]), [undefined]);
  await until("the other Shield has received it", async () => {
    const [key] = await two.forReading("acme", [before!.id]);
    return key === undefined;
  });
  const [after] = await two.forWriting("acme", ["ann"]);
  assert.notEqual(hex(after!.id), hex(before!.id));
  assert.notEqual(hex(after!.key), hex(before!.key));
  assert.deepEqual(await one.forWriting("acme", ["ann", "bob"]), [after, kept]);
  for (const key of await bed.bucket.keys()) {
    const entry = await bed.bucket.get(key);
    assert.ok(!entry!.value.toHex().includes(before!.key.toHex()), "no key is left anywhere");
  }
});

onBoth(
  "a record from before an erasure that is written after it gets a key that is not stored",
  async (bed) => {
    const one = await bed.shield();
    const two = await bed.shield();
    const recorded_ms = bed.now_ms;
    bed.now_ms += 10;
    const opened = async (keys: JournalKeys, since_ms: number, user = "ann") => {
      const [key] = await keys.forWriting("acme", [user], since_ms);
      const [read] = await (await bed.shield()).forReading("acme", [key!.id]);
      return read !== undefined;
    };
    for (const keys of [one, two]) {
      await until("it has received it, although ann had no key", async () => {
        await one.erase("acme", "ann");
        return !await opened(keys, recorded_ms);
      });
      await until("later records are readable", () => opened(keys, bed.now_ms));
      const [bob] = await keys.forWriting("acme", ["bob"], recorded_ms);
      assert.ok((await keys.forReading("acme", [bob!.id]))[0], "another user is not erased");
    }
    let is_cut = false;
    const cut = await bed.shield(100, () => !is_cut);
    await until("it receives erasures", async () => {
      await one.erase("acme", "cid");
      return !await opened(cut, recorded_ms, "cid");
    });
    is_cut = true;
    await one.erase("acme", "dan");
    assert.ok(!await opened(cut, recorded_ms, "dan"), "one that it has not received");
    const late = await bed.shield();
    assert.ok(await opened(late, bed.now_ms), "an old erasure does not apply now");
  },
);

for (const step_ms of [-7_200_000, -20_000, 20_000, 7_200_000]) {
  onBoth(
    `an erasure takes what was said before it, and no more, with a clock set by ${step_ms} ms`,
    async (bed) => {
      const keys = await bed.shield();
      const isReadable = async (since_ms: number) => {
        const [key] = await keys.forWriting("acme", ["ann"], since_ms);
        return (await (await bed.shield()).forReading("acme", [key!.id]))[0] !== undefined;
      };
      const recorded_ms = bed.now_ms;
      bed.ahead_ms = step_ms;
      bed.now_ms += 10;
      await until("an erasure that it knows", async () => {
        await keys.erase("acme", "ann");
        return !await isReadable(recorded_ms);
      });
      bed.ahead_ms = 0;
      bed.now_ms += 10;
      assert.ok(await isReadable(bed.now_ms));
    },
  );
}

onBoth(
  "an erasure finds the oldest period, though its Shield's clock is ahead by days",
  async (bed) => {
    const one = await bed.shield();
    const two = await bed.shield();
    bed.now_ms += 30 * DAY_MS - bed.now_ms % (30 * DAY_MS) - DAY_MS;
    const [key] = await one.forWriting("acme", ["ann"]);
    bed.now_ms += 60 * DAY_MS;
    bed.ahead_ms = 3 * DAY_MS;
    assert.equal(await two.erase("acme", "ann"), 1);
    bed.ahead_ms = 0;
    assert.deepEqual(await two.forReading("acme", [key!.id]), [undefined]);
  },
);

onBoth("an erasure finds keys of all times, whatever the clocks have shown", async (bed) => {
  for (const [made_ms, erased_ms] of [[300 * DAY_MS, 0], [-bed.now_ms, 0], [0, -bed.now_ms]]) {
    bed.ahead_ms = made_ms!;
    const [key] = await (await bed.shield()).forWriting("acme", ["ann"]);
    bed.ahead_ms = erased_ms!;
    const keys = await bed.shield();
    assert.equal(await keys.erase("acme", "ann"), 1);
    assert.deepEqual(await keys.forReading("acme", [key!.id]), [undefined]);
  }
});

onBoth("the bucket names no user", async (bed) => {
  const keys = await bed.shield();
  await keys.forWriting("acme", ["ann.lee@example.org"]);
  await keys.erase("acme", "ann.lee@example.org");
  const plain = new TextDecoder("latin1");
  for (const key of await bed.bucket.keys()) {
    const value = (await bed.bucket.get(key))?.value ?? new Uint8Array(0);
    assert.doesNotMatch(`${key.join(" ")} ${plain.decode(value)}`, /ann/);
  }
});

onBoth(
  "an interrupted erasure is completed by the next user of the key",
  async (bed) => {
    const one = await bed.shield();
    const [before] = await one.forWriting("acme", ["ann"]);
    const [place] = await bed.bucket.keys(["u"]);
    const { revision } = (await bed.bucket.get(place!))!;
    await bed.bucket.update(place!, before!.id, revision);
    const [after] = await (await bed.shield()).forWriting("acme", ["ann"]);
    assert.notEqual(hex(after!.key), hex(before!.key));
    assert.deepEqual(await (await bed.shield()).forReading("acme", [before!.id]), [undefined]);
  },
);

onBoth(
  "keys are deleted with their period, once all its records have expired",
  async (bed) => {
    const keys = await bed.shield();
    const [old] = await keys.forWriting("acme", ["ann"]);
    bed.now_ms += 31 * DAY_MS;
    const [young] = await keys.forWriting("acme", ["ann"]);
    assert.notEqual(hex(young!.key), hex(old!.key));
    assert.equal(await keys.sweep(60 * DAY_MS), 0);
    assert.deepEqual((await keys.forReading("acme", [old!.id])).map(hex), [hex(old!.key)]);
    assert.equal(await keys.erase("acme", "ann"), 2, "those of both periods");
    await keys.forWriting("acme", ["ann"]);
    bed.now_ms += 40 * DAY_MS;
    assert.ok(await keys.sweep(DAY_MS) > 0);
    assert.deepEqual(await bed.bucket.keys(["u"]), []);
    assert.deepEqual(await bed.bucket.keys(["k"]), []);
  },
);

onBoth("the keys in memory are bounded", async (bed) => {
  const keys = await bed.shield(4);
  const users = Array.from({ length: 20 }, (_, at) => `user-${at}`);
  const first = await keys.forWriting("acme", users);
  assert.ok(keys.size <= 4, String(keys.size));
  await keys.forReading("acme", first.map(({ id }) => id));
  assert.ok(keys.size <= 8, String(keys.size));
  assert.deepEqual(await keys.forWriting("acme", users), first);
});

Deno.test("journal keys, nats: a full bucket has no key for new users, keeps existing keys, and can erase", async () => {
  const folder = await Deno.makeTempDir({ prefix: "arqon-journal-keys-" });
  const config = `jetstream { store_dir: ${JSON.stringify(folder)}, max_file: 8388608 }`;
  await using stack = new AsyncDisposableStack();
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const server = stack.use(await startNats({ config }));
  const open = () =>
    openSpine(configFrom({ nats: { urls: [server.url] } }), { log, now: Date.now });
  const spine = await open();
  const bucket = await spine.keyValue(JOURNAL_KEYS_BUCKET);
  const keys = new JournalKeys({ bucket, spine, log, now: Date.now, keys_max: 100 });
  const written: Uint8Array[] = [];
  for (let n = 0; n < 20_000; n++) {
    const [{ id }] = await keys.forWriting("acme", [`user-${n}`]) as [UserKey];
    if (isNoKey(id)) break;
    written.push(id);
  }
  assert.ok(written.length > 100);
  const [first, none] = await keys.forWriting("acme", ["user-0", "another"]);
  assert.deepEqual([first!.id, none, keys.unkept], [written[0], NO_KEY, 2]);
  const [, of_none] = await keys.forReading("acme", [written[0]!, NO_KEY.id]);
  assert.equal(of_none, undefined);
  for (let n = 0; n < 5; n++) assert.equal(await keys.erase("acme", `user-${n}`), 1);
  assert.deepEqual(await keys.forReading("acme", written.slice(0, 5)), Array(5).fill(undefined));
  keys.close();
  await spine.drain();
});

onBoth("of many users are made, read and used in slices", async (bed) => {
  const users = Array.from({ length: 200 }, (_, at) => `user-${at}`);
  const writing = await bed.shield(1_000);
  const made = await turnsDuring(() => writing.forWriting("acme", users));
  assert(made.turns >= 5, `${made.turns} turns`);
  const ids = made.value.map(({ id }) => id);
  const other = await bed.shield(1_000);
  const { value, turns } = await turnsDuring(() => other.forReading("acme", ids));
  assert.deepEqual(value, made.value.map(({ key }) => key));
  assert(turns >= 5, `${turns} turns`);
});
