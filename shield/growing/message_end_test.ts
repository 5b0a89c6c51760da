/** A message whose room's log is lost: it waits for a day, then it is given up and its readers are notified. */
import assert from "node:assert/strict";
import { ArqonError, readEnvelope, writeEnvelope } from "@arqon/proto";
import { Registry } from "../../shared/metrics/metrics.ts";
import { until } from "../../shared/testing/until.ts";
import { NO_POLICIES } from "../message/gates.ts";
import { LIMITS, testPath } from "../message/testing/path.ts";
import { SPINE_NOW_MS } from "../testing/spine.ts";
import { type GrowingRecord, withEnding } from "./record.ts";
import { GrowingRecords } from "./records.ts";
import { type Ended, isGivenUp, settle } from "./message_end.ts";
import { growingStats } from "./stats.ts";

const HOUR_MS = 3_600_000;
const KEY = { tenant_id: "acme", room_id: "lobby", id: "a1" };

const ended = (ago_ms: number): GrowingRecord =>
  withEnding({
    format: 1,
    type: "answer",
    content_type: "text/plain",
    text: "so far",
    seq: 1,
    producer: { user_id: "ann", user_key: "k", issuer: "i", role: "user" },
    started_ms: 1,
    active_ms: 1,
    ending: null,
  }, { outcome: "finished", reason: "", by: "ann", is_kept: true, at_ms: SPINE_NOW_MS - ago_ms });

Deno.test("a message whose log is lost waits for a day, then its readers are notified that it is not stored", async () => {
  await using test = testPath();
  const records = new GrowingRecords(test.spine);
  const of = () => Promise.reject(new ArqonError("log-unavailable"));
  const stats = growingStats(new Registry());
  const logTime = () => Promise.resolve(SPINE_NOW_MS);
  const context = { path: test.path, limits: LIMITS, logs: { of }, logTime, records, stats };
  const settled = async (ago_ms: number, tried_ms = 24 * HOUR_MS - 1) => {
    const found = await records.change(KEY, () => Promise.resolve(ended(ago_ms)));
    const settling = settle(context, KEY, found as Ended, undefined, tried_ms);
    await assert.rejects(settling, { reason: "log-unavailable" });
    return await records.get(KEY);
  };
  assert.notEqual(await settled(23 * HOUR_MS), undefined);
  // A clock jumps by more than a day.
  assert.notEqual(await settled(25 * HOUR_MS, HOUR_MS - 1), undefined);
  assert.equal(test.published.length, 0);
  assert.equal(isGivenUp(-2 * HOUR_MS, 24 * HOUR_MS), true, "or that none has");
  assert.equal(await settled(25 * HOUR_MS), undefined);
  await until("its end is reported", () => test.published.length > 0);
  const { room_id, event } = readEnvelope(test.published[0]!.payload);
  assert.equal(room_id, "lobby~growing");
  const notice = JSON.parse(new TextDecoder().decode(event?.data));
  assert.deepEqual([notice.op, notice.outcome, notice.reason], [
    "end",
    "aborted",
    "not stored: log-unavailable",
  ]);
});

Deno.test("neither an earlier message of its id nor somebody else's is taken for one whose end was late", async () => {
  const takenFor = async (sender_id: string, message_id: string, grew: boolean, ago_ms: number) => {
    await using test = testPath();
    const headers = grew ? { "x-arqon-growing": "finished" } : {};
    const payload = writeEnvelope({ room_id: "lobby", sender_id, message_id, headers });
    const offset = 7;
    const time_ms = SPINE_NOW_MS - ago_ms;
    const log = {
      head: () => Promise.resolve({ last: { offset } }),
      readBack: () => Promise.resolve({ messages: [{ offset, time_ms, payload }], more: false }),
    };
    const records = new GrowingRecords(test.spine);
    const context = {
      path: test.path,
      limits: LIMITS,
      records,
      stats: growingStats(new Registry()),
      logs: { of: () => Promise.resolve(log as never) },
      logTime: () => Promise.resolve(SPINE_NOW_MS),
    };
    // Its tenant's budget was used up for two minutes.
    const found = await records.change(KEY, () => Promise.resolve(ended(120_000)));
    const stored = await settle(context, KEY, found as Ended);
    await test.spine.flush();
    const texts = test.published.map(({ payload }) => readEnvelope(payload))
      .filter(({ room_id }) => room_id === "lobby")
      .map(({ event }) => new TextDecoder().decode(event?.data));
    return { stored, texts };
  };
  const itself = { stored: 0, texts: ["so far"] };
  assert.deepEqual(await takenFor("ann", "growing:a1:0", true, 150_000), itself, "another use");
  assert.deepEqual(await takenFor("ann", "growing:a1:1", true, HOUR_MS), itself, "long ago");
  assert.deepEqual(await takenFor("mal", "growing:a1:1", false, 60_000), itself, "another sender");
  const known = { stored: 7, texts: [] };
  assert.deepEqual(await takenFor("ann", "growing:a1:1", true, 60_000), known);
});

Deno.test("a message that a policy refuses at its end is aborted, whatever code the policy chose", async () => {
  const onMessage = () => Promise.reject(new ArqonError("policy-rejected", "no", { code: 429 }));
  await using test = testPath([], { ...NO_POLICIES, onMessage });
  const records = new GrowingRecords(test.spine);
  const context = {
    path: test.path,
    limits: LIMITS,
    records,
    stats: growingStats(new Registry()),
    logs: { of: () => Promise.reject(new ArqonError("log-unavailable")) },
    logTime: () => Promise.resolve(SPINE_NOW_MS),
  };
  const found = await records.change(KEY, () => Promise.resolve(ended(0)));
  await assert.rejects(settle(context, KEY, found as Ended), { reason: "policy-rejected" });
  assert.equal(await records.get(KEY), undefined);
});
