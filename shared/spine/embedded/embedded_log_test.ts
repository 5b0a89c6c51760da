/**
 * Specific to the embedded engine's logs: their file, its limits and damages, and time that the test advances.
 * `conformance_log.ts` has what they share with NATS.
 */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { keptLog } from "../../testing/logs.ts";
import { roomSubject } from "../../subjects/subject.ts";
import { temporaryFolder } from "../../testing/temporary_folder.ts";
import { turnsDuring } from "../../testing/turns_during.ts";
import { until } from "../../testing/until.ts";
import { bytes, collect, Collected, refusedWith, text } from "../testing/conformance.ts";
import {
  LOG_DEDUPLICATION_MS,
  LOG_OFFSET_HEADER,
  LOG_PREVIOUS_HEADER,
} from "../contract/durable_log.ts";
import type { DurableLog } from "../contract/durable_log.ts";
import { type EmbeddedOptions, openEmbedded } from "./embedded.ts";
import type { Spine, SpineEvent } from "../contract/spine.ts";

const RETENTION = { history_size: 1_000, history_ttl_seconds: 600, replicas: undefined };
const LOTS = { after: 0, limit: 10_000, max_bytes: 100_000_000 };
const { log, lines } = keptLog({ level: "info" });
const options: EmbeddedOptions = { now: Date.now, log };

async function withFolder(run: (data_dir: string) => Promise<void>): Promise<void> {
  await using folder = await temporaryFolder();
  await run(`${folder.path}/data`);
}

async function withLog(
  more: Partial<EmbeddedOptions>,
  run: (log: DurableLog, spine: Spine) => Promise<void>,
  retention = RETENTION,
): Promise<void> {
  const spine = openEmbedded({ ...options, ...more });
  try {
    await run(await spine.log("acme", retention), spine);
  } finally {
    await spine.drain();
  }
}

const texts = async (log: DurableLog, room = "a") =>
  (await log.read(room, LOTS)).messages.map(({ payload }) => text(payload));

/** A clock that both runs and is set by the test. */
function clocks() {
  const time = { wall_ms: Date.now(), passed_ms: 0 };
  const pass = (ms: number) => {
    time.wall_ms += ms;
    time.passed_ms += ms;
  };
  const given = { now: () => time.wall_ms, monotonic_ms: () => time.passed_ms };
  return { time, pass, given };
}

Deno.test("with data_dir a log, its messages, floors and keys outlive the engine", async () => {
  await withFolder(async (data_dir) => {
    let stream = "";
    let offset = 0;
    await withLog({ data_dir }, async (log) => {
      stream = log.stream;
      for (const n of ["1", "2", "3"]) ({ offset } = await log.append("a", bytes(n), { key: n }));
      await log.trim("a", 2);
      await log.retain({ ...RETENTION, history_size: 2_000 });
    });
    await withLog({ data_dir }, async (log) => {
      assert.notEqual(log.stream, stream, "nobody can say that it is no older copy");
      const [first, second] = log.lives;
      assert.deepEqual(first, { name: stream, first: 0 });
      assert.deepEqual(second, { name: log.stream, first: offset + 1 });
      assert.deepEqual(await texts(log), ["2", "3"]);
      assert.equal((await log.read("a", LOTS)).complete, false);
      assert.equal((await log.read("a", { ...LOTS, after: offset - 2 })).complete, true);
      const repeated = await log.append("a", bytes("3"), { key: "3" });
      assert.deepEqual(repeated, { offset, duplicate: true, stream }, "of the earlier life");
      assert.equal((await log.append("a", bytes("4"))).offset, offset + 1);
      assert.equal((await log.status()).history_size, 2_000);
    });
    await Deno.remove(`${data_dir}/log.sqlite`);
    await withLog({ data_dir }, async (log) => {
      assert.notEqual(log.stream, stream, "a lost log is another one");
      assert.deepEqual(await texts(log), []);
    });
  });
});

Deno.test("a drain stores and delivers messages in flight", async () => {
  await withFolder(async (data_dir) => {
    let delivered = 0;
    await withLog({ data_dir }, async (log, spine) => {
      spine.subscribe(roomSubject("in", "acme", "a"), () => void delivered++);
      const under_way = Array.from({ length: 3_000 }, (_, n) => log.append("a", bytes(String(n))));
      await Promise.all([spine.drain(), ...under_way]);
    }, { ...RETENTION, history_size: 5_000 });
    assert.equal(delivered, 3_000);
    await withLog({ data_dir }, async (log) => assert.equal((await texts(log)).length, 3_000));
  });
});

Deno.test("offsets lost in a power cut are not used again", async () => {
  await withFolder(async (data_dir) => {
    const copy = `${data_dir}-copy`;
    let last = 0;
    await withLog({ data_dir }, async (log) => {
      await log.append("a", bytes("kept"));
      // The disk at the time of the power cut: everything later is lost.
      await Deno.mkdir(copy);
      for (const name of ["log.sqlite", "log.sqlite-wal"]) {
        await Deno.copyFile(`${data_dir}/${name}`, `${copy}/${name}`);
      }
      for (let n = 0; n < 500; n++) ({ offset: last } = await log.append("a", bytes("lost")));
    });
    await withLog({ data_dir: copy }, async (log) => {
      assert.deepEqual(await texts(log), ["kept"]);
      assert.ok((await log.head("a")).log_offset >= last, "a client's position is not ahead");
      assert.ok((await log.append("a", bytes("next"))).offset > last);
    });
  });
});

Deno.test("a full log is a 503 that names log_bytes, keeps its messages, and recovers", async () => {
  await withLog({ log_limits: { log_bytes: 200_000 } }, async (log) => {
    const full = /raise \[durable\] log_bytes/;
    const payload = new Uint8Array(5_000);
    const stored: number[] = [];
    await assert.rejects(async () => {
      for (;;) stored.push((await log.append("a", payload)).offset);
    }, (error) => refusedWith("log-unavailable")(error) && full.test(String(error)));
    assert.ok(stored.length > 10, `${stored.length} were stored`);
    const refused = await Promise.allSettled([1, 2, 3].map(() => log.append("b", payload)));
    assert.ok(refused.every(({ status }) => status === "rejected"));
    const page = await log.read("a", LOTS);
    assert.deepEqual(page.messages.map(({ offset }) => offset), stored);
    assert.equal((await log.head("a")).log_offset, stored.at(-1));
    assert.ok(lines.some((line) => line.includes("have their share of the log")));
    await log.trim("a", 3);
    const { offset } = await log.append("a", payload);
    assert.equal(offset, (stored.at(-1) ?? 0) + 1, "what was refused took no offset");
  });
});

Deno.test("a full log continues to accept messages that replace its oldest", async () => {
  await withLog({ log_limits: { log_bytes: 500_000 } }, async (log) => {
    for (let n = 0; n < 1_000; n++) await log.append("a", new Uint8Array(5_000).fill(n));
    const { messages } = await log.read("a", LOTS);
    assert.equal(messages.at(-1)?.payload[0], 999 & 255);
    assert.ok(messages.length >= 20);
  }, { ...RETENTION, history_size: 20 });
});

Deno.test("publishes above a tenant's share are refused, by number and by bytes, and another tenant's are not", async () => {
  for (const log_limits of [{ pending_messages: 10 }, { pending_bytes: 100 }]) {
    await withLog({ log_limits }, async (log, spine) => {
      const other = await spine.log("other", RETENTION);
      const some = () => Array.from({ length: 12 }, () => log.append("a", new Uint8Array(10)));
      for (let turn = 0; turn < 3; turn++) {
        const all = [...some(), other.append("a", new Uint8Array(10))];
        const outcomes = await Promise.allSettled(all);
        assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 9);
        assert.equal(outcomes.at(-1)?.status, "fulfilled");
        const refused = outcomes.find((outcome) => outcome.status === "rejected");
        assert.ok(refused && refusedWith("log-unavailable")(refused.reason));
        assert.match(String(refused.reason), /8 publishes of this tenant wait/);
      }
    });
  }
});

Deno.test("a tenant's publish does not wait for all those of another one", async () => {
  await withLog({}, async (log, spine) => {
    const stored: string[] = [];
    const append = async (of: DurableLog, text: string) => {
      await of.append("a", bytes(text));
      stored.push(text);
    };
    const many = Array.from({ length: 2_000 }, (_, n) => append(log, String(n)));
    const other = await spine.log("other", RETENTION);
    await Promise.all([...many, append(other, "other")]);
    const before = stored.indexOf("other");
    assert.ok(before < 600, `${before} before it`);
    assert.deepEqual(
      stored.toSpliced(before, 1),
      Array.from({ length: 2_000 }, (_, n) => String(n)),
    );
  });
});

Deno.test("a message that cannot be delivered is stored, and its subscribers are notified", async () => {
  await withLog({ limits: { pending_bytes: 100 } }, async (log, spine) => {
    const events = new Collected<SpineEvent>();
    spine.onEvent(events.add);
    const received = await collect(spine, roomSubject("in", "acme", "a"));
    const payload = new Uint8Array(60);
    const appended = await Promise.all([1, 2, 3].map(() => log.append("a", payload)));
    await received.count(1);
    await events.count(1);
    assert.deepEqual(events.items, [{ type: "log", tenant_id: "acme" }]);
    await log.append("a", payload);
    const [first, next] = await received.count(2);
    assert.equal(first?.headers[LOG_OFFSET_HEADER], String(appended[0]?.offset));
    const previous = next?.headers[LOG_PREVIOUS_HEADER];
    assert.equal(previous, String(appended[2]?.offset), "the hole shows");
    assert.equal((await log.read("a", LOTS)).messages.length, 4);
  });
});

Deno.test("expired messages are removed with the next append, or automatically", async () => {
  const { pass, given } = clocks();
  await withLog(given, async (log) => {
    const { offset } = await log.append("a", bytes("old"));
    await log.append("quiet", bytes("old"));
    pass(300_000);
    await log.append("a", bytes("younger"));
    assert.deepEqual(await texts(log), ["old", "younger"]);
    pass(302_000);
    await log.append("a", bytes("new"));
    assert.deepEqual(await texts(log), ["younger", "new"]);
    assert.equal((await log.read("a", { ...LOTS, after: offset - 1 })).complete, false);
    assert.equal((await log.read("a", { ...LOTS, after: offset })).complete, true);
    await until("the sweep", async () => (await texts(log, "quiet")).length === 0);
    assert.equal((await log.heads(["quiet"])).size, 0);
  });
});

Deno.test("messages expire on the disk also after a restart in which nobody opens a log", async () => {
  await withFolder(async (data_dir) => {
    const { pass, given } = clocks();
    await withLog({ ...given, data_dir }, async (log) => {
      await log.append("a", new Uint8Array(50_000));
    });
    pass(1);
    const spine = openEmbedded({ ...options, ...given, data_dir });
    const used = async () => (await spine.storage()).used_bytes;
    const before = await used();
    pass(1_000 * RETENTION.history_ttl_seconds);
    await until("its pages are free", async () => await used() < before);
    await spine.drain();
  });
});

Deno.test("a start with a clock that is ahead by days removes no message, also by an append", async () => {
  await withFolder(async (data_dir) => {
    const retention = { ...RETENTION, history_size: 10 };
    const { time, pass, given } = clocks();
    const withThis = (run: (log: DurableLog) => Promise<void>) =>
      withLog({ ...given, data_dir }, run, retention);
    await withThis(async (log) => {
      await log.append("a", bytes("old"));
    });
    const ahead_ms = 400 * 86_400_000;
    time.wall_ms += ahead_ms;
    await withThis(async (log) => {
      await log.append("a", bytes("ahead"));
      await Promise.all(Array.from({ length: 15 }, () => log.append("b", bytes("x"))));
      await until("a sweep", async () => await log.count("b", 0) === 10);
      assert.deepEqual(await texts(log), ["old", "ahead"]);
      time.wall_ms -= ahead_ms;
      await log.append("a", bytes("corrected"));
      assert.deepEqual(await texts(log), ["old", "ahead", "corrected"]);
      pass(1_000 * retention.history_ttl_seconds + 1);
      await until("it expires in its time", async () => (await texts(log))[0] === "ahead");
    });
  });
});

Deno.test("messages stored while the clock was ahead hide no others after a restart", async () => {
  await withFolder(async (data_dir) => {
    const { time, pass, given } = clocks();
    const withThis = (run: (log: DurableLog) => Promise<void>) =>
      withLog({ ...given, data_dir }, run);
    await withThis(async (log) => void await log.append("a", bytes("old")));
    const began_ms = time.wall_ms;
    time.wall_ms += 86_400_000;
    await withThis(async (log) => void await log.append("a", bytes("ahead")));
    time.wall_ms -= 86_400_000;
    await withThis(async (log) => {
      await log.append("a", bytes("later"));
      pass(1_000);
      assert.equal(log.shownTime(), began_ms + 1_000);
      assert(log.now() > log.shownTime(), "the order of times stays");
      time.wall_ms += 86_400_000;
      assert.equal(log.shownTime(), log.now(), "a jump hides nothing");
    });
  });
});

Deno.test("messages stored while the clock was behind are kept for their time", async () => {
  await withFolder(async (data_dir) => {
    const { time, pass, given } = clocks();
    await withLog({ ...given, data_dir }, async (log) => void await log.append("a", bytes("1")));
    time.wall_ms -= 20 * 86_400_000;
    await withLog({ ...given, data_dir }, async (log) => {
      // Corrected a day after the first message: the log's clock follows slowly.
      time.wall_ms += 21 * 86_400_000;
      await log.append("a", bytes("2"));
      pass(3_600_001);
      await log.append("a", bytes("3"));
      pass(2_000);
      await log.append("a", bytes("4"));
      assert.deepEqual(await texts(log), ["3", "4"]);
    });
  });
});

Deno.test("a key is known for two minutes after a start, whatever the clock shows", async () => {
  await withFolder(async (data_dir) => {
    const { time, pass, given } = clocks();
    const withThis = (run: (log: DurableLog) => Promise<void>) =>
      withLog({ ...given, data_dir }, run);
    const isRepeat = async (log: DurableLog) =>
      (await log.append("a", bytes("1"), { key: "k" })).duplicate;
    await withThis(async (log) => assert.equal(await isRepeat(log), false));
    for (const jump_ms of [3_600_000, 86_400_000, -90_000_000]) {
      time.wall_ms += jump_ms;
      await withThis(async (log) => {
        pass(60_000);
        await log.append("b", bytes("x"));
        assert.equal(await isRepeat(log), true, String(jump_ms));
      });
    }
    await withThis(async (log) => {
      pass(LOG_DEDUPLICATION_MS + 1);
      assert.equal(await isRepeat(log), false);
      pass(60_000);
      assert.equal(await isRepeat(log), true);
    });
  });
});

Deno.test("others have their turns while very many messages are trimmed", () =>
  withLog({}, async (log) => {
    for (let at = 0; at < 6; at++) {
      await Promise.all(Array.from({ length: 500 }, () => log.append("a", new Uint8Array(1))));
    }
    const { turns } = await turnsDuring(() => log.trim("a", 0));
    assert.ok(turns >= 5, String(turns));
    assert.deepEqual(await texts(log), []);
  }, { ...RETENTION, history_size: 5_000 }));

Deno.test("a key is compared for two minutes, by the log's clock", async () => {
  const { pass, given } = clocks();
  await withLog(given, async (log) => {
    const first = await log.append("a", bytes("1"), { key: "k" });
    pass(LOG_DEDUPLICATION_MS - 1);
    assert.equal((await log.append("a", bytes("1"), { key: "k" })).duplicate, true);
    pass(2);
    const again = await log.append("a", bytes("1"), { key: "k" });
    assert.deepEqual([again.duplicate, again.offset], [false, first.offset + 1]);
    assert.equal((await log.append("a", bytes("1"), { key: "k" })).offset, again.offset);
  });
});

Deno.test("a wall clock that jumps expires nothing and never moves time back", async () => {
  await withFolder(async (data_dir) => {
    const { time, pass, given } = clocks();
    await withLog({ ...given, data_dir }, async (log) => {
      await log.append("a", bytes("1"));
      time.wall_ms += 86_400_000;
      pass(1_000);
      await log.append("a", bytes("2"));
      time.wall_ms -= 2 * 86_400_000;
      pass(1_000);
      await log.append("a", bytes("3"));
      assert.deepEqual(await texts(log), ["1", "2", "3"]);
    });
    // The process restarts a day in the past.
    await withLog({ ...given, data_dir }, async (log) => {
      await log.append("a", bytes("4"));
      const { messages } = await log.read("a", LOTS);
      const times = messages.map(({ time_ms }) => time_ms);
      assert.deepEqual(times, times.toSorted((left, right) => left - right));
      assert.ok(log.now() >= (times.at(-1) ?? 0));
      assert.equal(messages.length, 4);
    });
  });
});

Deno.test("a file that is not a log of this version is a start error that names it", async () => {
  await withFolder(async (data_dir) => {
    await withLog({ data_dir }, async () => {});
    const file = `${data_dir}/log.sqlite`;
    const open = () => openEmbedded({ ...options, data_dir });
    const database = new DatabaseSync(file);
    database.exec("PRAGMA user_version = 99");
    database.close();
    assert.throws(open, refusedWith("spine-unavailable"));
    assert.throws(open, /log\.sqlite: its version is 99, this ArqonBus knows 1/);
    await Deno.writeFile(file, new Uint8Array(20_000).fill(7));
    assert.throws(open, refusedWith("spine-unavailable"));
    assert.throws(
      open,
      /data_dir .* cannot be opened \(file is not a database\): log\.sqlite .* is damaged/,
    );
    await Deno.remove(file);
    await open().drain();
  });
});

Deno.test("messages at once are stored over several turns, and nothing comes between", () =>
  withLog({}, async (log) => {
    const stored: Promise<unknown>[] = [];
    let most = 0;
    let together = 0;
    const append = (name: string) =>
      stored.push(
        log.append("a", bytes(name)).then(() => {
          if (together++ === 0) setImmediate(() => together = 0);
          most = Math.max(most, together);
        }),
      );
    for (let index = 0; index < 900; index++) append(`one ${index}`);
    setImmediate(() => append("another"));
    await until("all are stored", () => stored.length > 900);
    await Promise.all(stored);
    // Those of one turn and of the next, which may begin before the count does.
    assert(most <= 512, `${most} in one turn`);
    const all = await texts(log);
    assert.deepEqual(all, [...Array.from({ length: 900 }, (_, at) => `one ${at}`), "another"]);
  }));
