/** The pass over all connections: many due ones are not handled in one turn. */
import assert from "node:assert/strict";
import { turnsDuring } from "../../shared/testing/turns_during.ts";
import { until } from "../../shared/testing/until.ts";
import type { Connection } from "./connection.ts";
import { Sweeper } from "./sweep.ts";

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
