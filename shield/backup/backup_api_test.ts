/** The download of a backup beside other work. */
import assert from "node:assert/strict";
import type { SpineBackup } from "../../shared/spine/contract/spine.ts";
import { createMetrics } from "../../shared/metrics/metrics.ts";
import { QUIET } from "../../shared/testing/logs.ts";
import { turnsDuring } from "../../shared/testing/turns_during.ts";
import { adminRequest, askPart, operator } from "../admin/routing/testing/admin.ts";
import { WrittenTrail } from "../audit/trail.ts";
import { BACKUP_ROUTES, openBackups } from "./capability.ts";

const PIECES = 500;
const PIECE_BYTES = 1_024;

/** The answer to a backup of a file with this many pieces, and what the audit log has of it. */
async function asked(pieces: number) {
  const backup: SpineBackup = {
    taken_ms: 0,
    files: [{
      name: "log.sqlite",
      size_bytes: PIECES * PIECE_BYTES,
      sequences: {},
      async *read() {
        for (let at = 0; at < pieces; at++) {
          yield await Promise.resolve(new Uint8Array(PIECE_BYTES));
        }
        if (pieces < PIECES) throw new Error("the disk is gone");
      },
    }],
    waiting_bytes: () => 0,
    release() {},
  };
  const context = openBackups({
    log: QUIET,
    node_id: "s1",
    now: Date.now,
    version: "0",
    registry: createMetrics({ node_id: "s1", version: "0" }),
    spine: { backup: () => backup },
  });
  const outcomes: string[] = [];
  const audit = new WrittenTrail({
    log: QUIET,
    newId: () => "r1",
    on_failure: "refuse",
    writer: {
      append: ({ action, outcome }) => {
        const seq = outcomes.push(`${action} ${outcome}`);
        return Promise.resolve({ seq, hash: "" });
      },
    },
  });
  const request = adminRequest("GET", "/v1/backup");
  const response = await askPart(BACKUP_ROUTES, context, request, { ...operator(), audit });
  return { response, outcomes };
}

Deno.test("the audit log has how the reading of a backup ended", async () => {
  const whole = await asked(PIECES);
  assert.deepEqual(whole.outcomes, ["bus.backup begun"]);
  await whole.response.arrayBuffer();
  assert.deepEqual(whole.outcomes, ["bus.backup begun", "bus.backup done"]);
  const left = await asked(PIECES);
  await left.response.body?.cancel();
  assert.deepEqual(left.outcomes, ["bus.backup begun", "bus.backup failed"]);
  const broken = await asked(1);
  await assert.rejects(broken.response.arrayBuffer(), /the disk is gone/);
  assert.deepEqual(broken.outcomes, ["bus.backup begun", "bus.backup failed"]);
});

Deno.test("a backup is read in turns with other work, however fast its reader is", async () => {
  const { response } = await asked(PIECES);
  const { value, turns } = await turnsDuring(() => response.arrayBuffer());
  assert.ok(value.byteLength > PIECES * PIECE_BYTES);
  assert.ok(turns > PIECES / 2, `${turns} turns`);
});
