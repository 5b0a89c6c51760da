/** When a message that nobody adds to is ended: by the clock of its log, whatever the Shield's own says. */
import assert from "node:assert/strict";
import { Registry } from "../../shared/metrics/metrics.ts";
import { LIMITS, testPath } from "../message/testing/path.ts";
import { NO_OVERSEER } from "../policy/overseer.ts";
import { keptLog, SPINE_NOW_MS } from "../testing/spine.ts";
import { GrowingRecords } from "./records.ts";
import { growingStats } from "./stats.ts";
import { GrowingSweep } from "./sweep.ts";

const HOUR_MS = 3_600_000;
const IDLE_MS = 60_000;
const KEY = { tenant_id: "acme", room_id: "lobby", id: "a1" };

for (const [by, step_ms] of [["forward", HOUR_MS], ["back", -HOUR_MS]] as const) {
  Deno.test(`a Shield whose wall clock is set ${by} by an hour ends a growing message when it is idle, not before`, async () => {
    await using test = testPath();
    const records = new GrowingRecords(test.spine);
    let log_ms = SPINE_NOW_MS;
    const context = {
      path: { ...test.path, now: () => log_ms + step_ms },
      limits: LIMITS,
      logs: { of: () => Promise.reject(new Error("nothing is stored")) },
      logTime: () => Promise.resolve(log_ms),
      records,
      stats: growingStats(new Registry()),
      overseer: NO_OVERSEER,
      bounds: () => ({
        ...{ message_bytes: 1_000, pieces: 10, held_bytes: 0 },
        ...{ room_messages: 10, tenant_messages: 10, idle_ms: IDLE_MS },
      }),
    };
    /** As a Shield does that sees the message for the first time. */
    const pass = async () => {
      const sweep = new GrowingSweep(context, keptLog().log, () => false);
      await sweep.pass();
      await sweep.close();
      return await records.get(KEY) !== undefined;
    };
    await records.change(KEY, () =>
      Promise.resolve({
        ...{ format: 1, type: "answer", content_type: "text/plain", text: "", seq: 0 },
        producer: { user_id: "ann", user_key: "k", issuer: "i", role: "user" },
        ...{ started_ms: log_ms, active_ms: log_ms, ending: null },
      }));
    log_ms += IDLE_MS - 1;
    assert.equal(await pass(), true);
    log_ms += 1;
    assert.equal(await pass(), false);
  });
}
