/** The download of a backup beside other work. */
import assert from "node:assert/strict";
import type { SpineBackup } from "../../shared/spine/contract/spine.ts";
import { createMetrics } from "../../shared/metrics/metrics.ts";
import { QUIET } from "../../shared/testing/logs.ts";
import { turnsDuring } from "../../shared/testing/turns_during.ts";
import { adminRequest, askPart, operator } from "../admin/routing/testing/admin.ts";
import { BACKUP_ROUTES, openBackups } from "./backup_api.ts";

const PIECES = 500;
const PIECE_BYTES = 1_024;

Deno.test("a backup is read in turns with other work, however fast its reader is", async () => {
  const backup: SpineBackup = {
    taken_ms: 0,
    files: [{
      name: "log.sqlite",
      size_bytes: PIECES * PIECE_BYTES,
      sequences: {},
      async *read() {
        for (let at = 0; at < PIECES; at++) {
          yield await Promise.resolve(new Uint8Array(PIECE_BYTES));
        }
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
  const request = adminRequest("GET", "/v1/backup");
  const response = await askPart(BACKUP_ROUTES, context, request, operator());
  const { value, turns } = await turnsDuring(() => response.arrayBuffer());
  assert.ok(value.byteLength > PIECES * PIECE_BYTES);
  assert.ok(turns > PIECES / 2, `${turns} turns`);
});
