/**
 * The log of a room keeps to its limit of bytes, approximately, on both engines: the oldest entries are removed, and
 * the room continues.
 */
import assert from "node:assert/strict";
import { PLAIN } from "./testing/guest_text.ts";
import { applied, ENGINES, messagesOf } from "./testing/reducer_world.ts";

const CALLS = 60;
const SNAPSHOT_ENTRIES = 5;
/** Eight of them fill the log of a room in these tests. */
const DATA = "x".repeat(8_192);

for (const [engine, open] of Object.entries(ENGINES)) {
  Deno.test(`${engine}: a room's log is bounded in bytes, and another Brain continues from it`, async () => {
    await using world = await open({
      modules: { plain: PLAIN },
      reducer: { snapshot_entries: SNAPSHOT_ENTRIES, log_bytes: 65_536 },
    });
    const brain = await world.start("a");
    for (let at = 0; at < CALLS; at++) await applied(brain, "plain", "go", { data: DATA });
    // The entries behind the last two snapshots, and later ones.
    const messages = (await messagesOf(brain, "plain~reducer")).length;
    assert.ok(messages <= 3 * SNAPSHOT_ENTRIES, `${messages} messages`);
    const other = await world.start("b");
    world.turn("b");
    assert.equal((await applied(other, "plain", "go")).entry, CALLS + 1);
    // Removed entries are reported as such.
    const show = (offset: number) =>
      other.service.past({ tenant_id: "t", room_id: "plain" }, {
        action: "show",
        prefix: "",
        after: "",
        limit: 1,
        offset,
      });
    await assert.rejects(show(3));
    assert.equal(JSON.parse(await show(CALLS - 1)).offset, CALLS - 1);
  });
}
