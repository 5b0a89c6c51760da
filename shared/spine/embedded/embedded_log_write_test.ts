/** The embedded log's rows: sweeping, and rooms that are forgotten. */
import assert from "node:assert/strict";
import { LOG_DEDUPLICATION_MS, LOG_LIMITS } from "../contract/durable_log.ts";
import { LogFile } from "./embedded_log_file.ts";
import { type LogRow, LogRows } from "./embedded_log_rows.ts";
import { LogWriter, sweepRooms } from "./embedded_log_write.ts";

const DAY_MS = 86_400_000;
const ENDLESS = { free_bytes: Infinity, tenant_bytes: Infinity, aside_bytes: 0, little_bytes: 0 };
const RETENTION = { history_size: 10, history_ttl_seconds: 60 };

const timesAt = (now_ms: number) => {
  const cutoff_ms = now_ms - 60_000;
  return { now_ms, shown_ms: cutoff_ms, cutoff_ms, forgotten_ms: now_ms - LOG_DEDUPLICATION_MS };
};
const BEGIN = timesAt(0);

const swept = (rows: LogRows, after: number, now_ms: number) =>
  sweepRooms(rows, after, (kept) => now_ms - kept.history_ttl_seconds * 1_000);

/** A log in memory, and a function that appends messages to one of its rooms. */
function opened() {
  const file = new LogFile(undefined, LOG_LIMITS);
  const rows = new LogRows(file.database);
  rows.addLog("acme", "LOG_acme_1", RETENTION);
  let log: LogRow = rows.log("acme") ?? assert.fail();
  const fill = (room_id: string, count: number, now_ms: number, key?: string) =>
    file.transaction(() => {
      const writer = new LogWriter(rows, log, timesAt(now_ms), ENDLESS);
      const append = { room_id, payload: new Uint8Array(10), headers: {}, key };
      const taken = Array.from({ length: count }, () => writer.take(append));
      log = writer.finish();
      return taken;
    });
  const room = (room_id: string) => rows.room(log.id, room_id);
  return { file, rows, fill, room, log: () => log, [Symbol.dispose]: () => file.close() };
}

Deno.test("a room keeps its latest messages, with little excess, however many arrive at once", () => {
  using at = opened();
  at.fill("a", 1_000, 1_000);
  const room = at.room("a") ?? assert.fail();
  assert.ok(room.messages >= 10 && room.messages <= 40, `${room.messages}`);
  assert.equal(room.bytes, room.messages * 10);
  assert.deepEqual([room.last, room.floor], [1_000, 1_000 - room.messages]);
  assert.deepEqual(at.rows.totals(at.log().id), { messages: room.messages, bytes: room.bytes });
  // The sweep removes the slack.
  assert.equal(swept(at.rows, 0, 2_000), 0);
  assert.equal(at.room("a")?.messages, 10);
  assert.equal(at.room("a")?.floor, 990);
});

Deno.test("a sweep is limited, and continues where it ended", () => {
  using at = opened();
  at.rows.retain(at.log().id, { ...RETENTION, history_size: 100_000 });
  const fresh = at.rows.log("acme") ?? assert.fail();
  at.file.transaction(() => {
    const writer = new LogWriter(at.rows, fresh, BEGIN, ENDLESS);
    for (let n = 0; n < 5_000; n++) {
      const room_id = n < 4_000 ? "large" : `r${n}`;
      writer.take({ room_id, payload: new Uint8Array(1), headers: {}, key: undefined });
    }
    writer.finish();
  });
  const messages = () => at.rows.totals(fresh.id).messages;
  let next = 0;
  let sweeps = 0;
  const left: number[] = [messages()];
  do {
    next = swept(at.rows, next, 120_000);
    left.push(messages());
    assert.ok(++sweeps < 20, "it ends");
  } while (messages() > 0);
  left.forEach((count, index) => assert.ok((left[index - 1] ?? count) - count <= 2_000));
});

Deno.test("an empty room is forgotten after days, and its reads prove nothing from then", () => {
  using at = opened();
  at.fill("gone", 3, 0);
  at.fill("kept", 1, 0);
  swept(at.rows, 0, 120_000);
  assert.deepEqual([at.room("gone")?.messages, at.room("gone")?.last], [0, 0]);
  assert.equal(at.room("gone")?.floor, 3, "it is remembered how far it was emptied");
  assert.equal(at.rows.floor(at.log().id), 0);
  at.fill("kept", 1, 8 * DAY_MS);
  swept(at.rows, 0, 8 * DAY_MS);
  assert.equal(at.room("gone"), undefined);
  assert.equal(at.room("kept")?.messages, 1);
  assert.equal(at.rows.floor(at.log().id), 3, "of rooms that nobody knows less is known");
  at.fill("gone", 1, 8 * DAY_MS);
  assert.equal(at.room("gone")?.floor, 3);
});

Deno.test("keys are removed once they are too old", () => {
  using at = opened();
  const [first] = at.fill("a", 1, 0, "k");
  const [again] = at.fill("a", 1, 119_999, "k");
  assert.ok(typeof first === "object" && typeof again === "object");
  assert.deepEqual(again.appended, { ...first.appended, duplicate: true });
  at.fill("a", 1, 240_000, "other");
  const keys = () =>
    Number(at.file.database.prepare("SELECT count(*) AS n FROM repeat").get()?.["n"]);
  assert.equal(keys(), 1);
  at.rows.removeRepeats(500_000, 1);
  assert.equal(keys(), 0);
});

Deno.test("a transaction that throws has stored nothing", () => {
  using at = opened();
  at.fill("a", 1, 0);
  assert.throws(() =>
    at.file.transaction(() => {
      new LogWriter(at.rows, at.log(), BEGIN, ENDLESS).take({
        room_id: "a",
        payload: new Uint8Array(1),
        headers: {},
        key: undefined,
      });
      throw new Error("thrown by the test");
    }), /thrown by the test/);
  assert.equal([...at.rows.after(at.room("a")?.id ?? 0, 0, 10)].length, 1);
});
