/** A writer of the audit log with a concurrent writer. */
import assert from "node:assert/strict";
import { type AuditFields, decodeEntry, entryHash, NO_HASH } from "../../shared/audit/entry.ts";
import { refusedWith } from "../../shared/spine/testing/conformance.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { overriding } from "../../shared/testing/overriding.ts";
import { keptLog, SPINE_NOW_MS, testSpine } from "../testing/spine.ts";
import { AuditWriter } from "./writer.ts";

const AUDIT = { retention_days: 1, log_bytes: 1_048_576, pending_entries: 10 };

const fields = (request: string): AuditFields => ({
  request,
  outcome: "begun",
  action: "room_class.set",
  tenant: "acme",
  by: "root",
  by_tenant: "acme",
  operator: true,
  from: "127.0.0.1",
  method: "PUT",
  path: "/v1/tenants/acme/rooms",
  about: {},
  status: null,
  reason: null,
  count: 1,
});

Deno.test("a concurrent entry of another Shield does not fork the chain", async () => {
  await using test = testSpine();
  const shared = { audit: AUDIT, log: keptLog().log };
  const now = () => SPINE_NOW_MS;
  const other = new AuditWriter({ ...shared, spine: test.spine, node_id: "other", now });
  let looks = 0;
  const spine: Pick<Spine, "blocks"> = {
    async blocks(name, retention) {
      const store = await test.spine.blocks(name, retention);
      // The other Shield writes right after the first question about the newest entry.
      const besides = async <T>(answer: Promise<T>): Promise<T> => {
        const answered = await answer;
        if (looks++ === 0) await other.append(fields("of the other"), false);
        return answered;
      };
      return overriding(store, {
        newest: (...given) => besides(store.newest(...given)),
        room: () => besides(store.room()),
      });
    },
  };
  const writer = new AuditWriter({ ...shared, spine, node_id: "one", now });
  await writer.append(fields("own"), false);
  const entries = await (await other.open()).read(0, 10);
  let previous = NO_HASH;
  const nodes = entries.map(({ payload }) => {
    const decoded = decodeEntry(payload);
    assert.ok("entry" in decoded);
    assert.equal(decoded.entry.previous, previous, `entry ${decoded.entry.seq}`);
    previous = entryHash(payload);
    return decoded.entry.node;
  });
  assert.deepEqual(nodes, ["other", "one"]);
});

Deno.test("message-too-large: an oversized entry is given up; later ones are written", async () => {
  await using test = testSpine();
  const kept = keptLog();
  const now = () => SPINE_NOW_MS;
  const own = { audit: AUDIT, log: kept.log, node_id: "one", now };
  const writer = new AuditWriter({ ...own, spine: test.spine });
  const long = writer.append(fields("x".repeat(100_000)), true);
  const next = writer.append(fields("next"), false);
  await assert.rejects(long, refusedWith("audit-unavailable"));
  assert.equal((await next).seq, 1);
  assert.deepEqual([writer.counts.lost, writer.pending], [1, 0]);
});
