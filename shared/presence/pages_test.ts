/** Pages: nothing lost, nothing too large, and estimated sizes not below those on the wire. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { cutPages, deltaPages, entryBytes, joinPages, tagBytes } from "./pages.ts";
import { delta, entry } from "./testing/message_arbitraries.ts";
import { encodeMessage } from "./wire.ts";

Deno.test("cutting preserves the items and their order, and every page is within the limit", () => {
  const items = fc.array(fc.nat({ max: 100 }), { maxLength: 60 });
  fc.assert(fc.property(items, fc.integer({ min: 1, max: 300 }), (sizes, limit) => {
    const pages = cutPages(sizes, (size) => size, limit);
    assert.deepEqual(pages.flat(), sizes);
    for (const page of pages) {
      const bytes = page.reduce((sum, size) => sum + size, 0);
      assert.ok(bytes <= limit || page.length === 1);
    }
    assert.ok(pages.length === 1 || pages.every((page) => page.length > 0));
  }));
});

Deno.test("a delta in pages is the delta again when they are joined", () => {
  fc.assert(fc.property(delta, fc.integer({ min: 300, max: 2_000 }), (whole, limit) => {
    assert.deepEqual(joinPages(deltaPages(whole, limit)), whole);
  }));
});

Deno.test("pages of different moments do not join", () => {
  fc.assert(fc.property(delta, (whole) => {
    const later = { ...whole, end: whole.end + 1 };
    assert.equal(joinPages([whole, later]), undefined);
    const writer = { ...whole.writer, incarnation: whole.writer.incarnation + 1 };
    assert.equal(joinPages([whole, { ...whole, writer }]), undefined);
  }));
  assert.equal(joinPages([]), undefined);
});

Deno.test("the sizes are at least those of the wire", () => {
  fc.assert(fc.property(fc.array(entry, { maxLength: 5 }), delta, (entries, { writer }) => {
    const joins = entries.map((joined) => ({ writer, entry: joined }));
    const size = (count: number) =>
      encodeMessage({
        kind: "room_update",
        emitter: { brain_id: "b", boot: 0, term: 0 },
        sequence: 0,
        tenant_id: "t",
        room_id: "r",
        joins: joins.slice(0, count),
        leaves: [],
        clocks: [],
      }).length;
    const bound = entries.reduce((sum, joined) => sum + entryBytes(joined) + tagBytes(writer), 0);
    assert.ok(size(entries.length) - size(0) <= bound + 8);
  }));
});
