/** Pages of history out of the real logs, those of both Spine engines, while messages come. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { openEmbedded } from "../../../shared/spine/embedded/embedded.ts";
import { watched } from "../../../shared/spine/nats/testing/nats_harness.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import { startNats } from "../../../tests/harness/nats_server.ts";
import { keptLog } from "../../testing/spine.ts";
import { readHistory, TrimMemory } from "./history_window.ts";
import type { HistoryRoom } from "./history_window.ts";

const RETENTION = { history_size: 1_000, history_ttl_seconds: 3_600, replicas: undefined };
/** What the room's class keeps: less than the log. */
const KEPT = 37;

const ranges = fc.record({
  after: fc.nat(220),
  before: fc.oneof(fc.constant(0), fc.nat(240)),
  limit: fc.integer({ min: 1, max: 50 }),
  reverse: fc.boolean(),
  appends: fc.constantFrom(0, 0, 1, 3),
});

async function readsExactly(spine: Spine): Promise<void> {
  const log = await spine.log("acme", RETENTION);
  const offsets: number[] = [];
  const append = async (room_id: string) => {
    const { offset } = await log.append(room_id, new Uint8Array(100));
    if (room_id === "a") offsets.push(offset);
  };
  for (let n = 0; n < 100; n++) await Promise.all([append("a"), append("b")]);
  const room: HistoryRoom = {
    log,
    room_id: "a",
    history_size: KEPT,
    history_ttl_seconds: 3_600,
    page_bytes: 1_000_000,
    trims: new TrimMemory(),
    onRead: () => undefined,
  };
  await fc.assert(
    fc.asyncProperty(ranges, async ({ appends, ...range }) => {
      for (let n = 0; n < appends; n++) await append("a");
      const { after, before, limit, reverse } = range;
      const right = offsets.slice(-KEPT)
        .filter((offset) => offset > after && (before === 0 || offset < before));
      if (reverse) right.reverse();
      const page = await readHistory(room, range);
      assert.deepEqual(page.entries.map(({ offset }) => offset), right.slice(0, limit));
      assert.deepEqual([page.more, page.offset], [right.length > limit, offsets.at(-1)]);
    }),
    { numRuns: 200, endOnFailure: true },
  );
}

Deno.test("the embedded log's pages are exact", async () => {
  const spine = openEmbedded({ log: keptLog().log, now: Date.now });
  await readsExactly(spine);
  await spine.drain();
});

Deno.test("a NATS log's pages are exact", async () => {
  await using nats = await startNats({ jetstream: true });
  await using engine = await watched(nats.port);
  await readsExactly(engine.spine);
});
