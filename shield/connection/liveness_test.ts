/** The heartbeat of one client, as a table of its actions, and the pass over all connections. */
import assert from "node:assert/strict";
import { Liveness } from "./liveness.ts";
import { turnsDuring } from "../../shared/testing/turns_during.ts";
import { until } from "../../shared/testing/until.ts";
import type { Connection } from "./connection.ts";
import { Sweeper } from "./sweep.ts";

const BEAT_MS = 1_000;

Deno.test("a client that has never answered a PING may stay silent", () => {
  const liveness = new Liveness(0);
  assert(!liveness.isDue(999, BEAT_MS));
  assert(liveness.isDue(1_000, BEAT_MS));
  liveness.onAsked(1_000);
  assert(!liveness.isDue(9_000, BEAT_MS), "pinged once until something is received");
  assert.equal(liveness.overdue_ms(9_000), 0);
});

Deno.test("a client that has answered before is overdue from the first unanswered PING on", () => {
  const liveness = new Liveness(0);
  liveness.answered();
  assert.equal(liveness.overdue_ms(5_000), 0, "no PING was sent");
  liveness.onAsked(1_000);
  liveness.onAsked(2_000);
  assert.equal(liveness.overdue_ms(3_000), 2_000);
});

Deno.test("a client that has answered once must always answer", () => {
  const liveness = new Liveness(0);
  liveness.onAsked(1_000);
  liveness.onReceived(1_100);
  liveness.answered();
  assert.equal(liveness.overdue_ms(3_000), 0);
  assert(liveness.isDue(2_100, BEAT_MS));
  liveness.onAsked(2_100);
  assert.equal(liveness.overdue_ms(4_200), 2_100);
});

Deno.test("any complete message is an answer", () => {
  const liveness = new Liveness(0);
  liveness.answered();
  liveness.onAsked(1_000);
  liveness.onReceived(2_900);
  assert.equal(liveness.overdue_ms(9_000), 0);
});

Deno.test("time in which this process stalled does not count", () => {
  const liveness = new Liveness(0);
  liveness.answered();
  liveness.excuse(5_000);
  assert(liveness.isDue(1_000, BEAT_MS), "no PING was sent: nothing to excuse");
  liveness.onAsked(1_000);
  liveness.excuse(5_000);
  assert.equal(liveness.overdue_ms(7_500), 1_500);
});

Deno.test("after a clock jump back by an hour, a silent client is pinged, and found dead as usual", () => {
  const hour_ms = 3_600_000;
  const liveness = new Liveness(2 * hour_ms);
  liveness.answered();
  liveness.onReceived(2 * hour_ms + 500);
  liveness.setBack(hour_ms);
  assert(!liveness.isDue(hour_ms + 1_499, BEAT_MS));
  assert(liveness.isDue(hour_ms + 1_500, BEAT_MS));
  liveness.onAsked(hour_ms + 1_500);
  assert.equal(liveness.overdue_ms(hour_ms + 4_000), 2_500);
});

const NOW_MS = 100_000;

/** An open connection with recent messages, whose token expires then. */
function connectionTo(expires_ms: number, ended: string[]): Connection {
  const connection = {
    ended: false,
    opened: true,
    created_ms: 0,
    sent_ms: NOW_MS,
    noteSent: () => {},
    identity: { tenant_id: "acme", expires_ms },
    liveness: { overdue_ms: () => 0, isDue: () => false, excuse: () => {}, setBack: () => {} },
    fail({ reason }: { readonly reason: string }) {
      connection.ended = true;
      ended.push(reason);
    },
  };
  return connection as unknown as Connection;
}

Deno.test("connections whose tokens expire at the same time are ended in slices", async () => {
  const ended: string[] = [];
  const expired = Array.from({ length: 400 }, () => connectionTo(NOW_MS, ended));
  const others = Array.from({ length: 400 }, () => connectionTo(NOW_MS + 1, ended));
  const sweeper = new Sweeper([...expired, ...others], { heartbeat_ms: 10_000 }, NOW_MS - 500);
  const { turns } = await turnsDuring(async () => {
    sweeper.pass(NOW_MS);
    await until("all are ended", () => ended.length === expired.length);
  });
  assert(turns >= 20, `${turns} turns`);
  sweeper.pass(NOW_MS);
  assert.deepEqual(new Set(ended), new Set(["token-expired"]));
  assert.equal(ended.length, expired.length);
});
