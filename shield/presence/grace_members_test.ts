/** Held members: their times and users, without a timer for each. */
import assert from "node:assert/strict";
import { GraceMembers, type MemberRef } from "./announcer.ts";
import { entryOf, TestPort } from "./testing/port.ts";

function fixture() {
  const port = new TestPort();
  const ended: string[][] = [];
  const onEnd = (members: readonly MemberRef[]) =>
    void ended.push(members.map(({ connection_id }) => connection_id));
  return { port, ended, holds: new GraceMembers({ port, round_ms: 50, onEnd }) };
}

Deno.test("different grace times end in the right order", () => {
  const { port, ended, holds } = fixture();
  holds.add(entryOf(1), 5_000, "lost");
  holds.add(entryOf(2), 1_000, "lost");
  port.advance(1_000);
  assert.deepEqual(ended, [["c2"]]);
  port.advance(4_000);
  assert.deepEqual(ended, [["c2"], ["c1"]]);
});

Deno.test("one timer serves thousands, and members whose time ends together are removed together", () => {
  const { port, ended, holds } = fixture();
  for (let counter = 1; counter <= 10_000; counter++) {
    holds.add(entryOf(counter), 5_000, "lost");
    if (counter % 1_000 === 0) port.advance(1);
  }
  assert.equal(port.timers.size, 1);
  port.advance(5_050);
  assert.equal(ended.flat().length, 10_000);
  assert(ended.length <= 2, `${ended.length} rounds`);
});

Deno.test("a user's longest held member is found, by room, issuer and subject", () => {
  const { port, holds } = fixture();
  const ann = { user_id: "ann" };
  holds.add(entryOf(1, ann), 5_000, "lost");
  port.advance(1);
  holds.add(entryOf(2, ann), 5_000, "lost");
  assert.equal(holds.of(entryOf(9, ann))?.connection_id, "c1");
  assert.equal(holds.of(entryOf(9, { ...ann, room_id: "hall" })), undefined);
  assert.equal(holds.of(entryOf(9, { ...ann, tenant_id: "globex" })), undefined);
  assert.equal(holds.of(entryOf(9, { ...ann, issuer: "https://other" })), undefined);
  assert.equal(holds.release(entryOf(1)), true);
  assert.equal(holds.release(entryOf(1)), false);
  assert.equal(holds.of(entryOf(9, ann))?.connection_id, "c2");
});

Deno.test("a released member does not end, and holding twice does not extend the time", () => {
  const { port, ended, holds } = fixture();
  holds.add(entryOf(1), 1_000, "lost");
  holds.add(entryOf(2), 1_000, "lost");
  port.advance(500);
  holds.add(entryOf(2), 1_000, "lost");
  holds.release(entryOf(1));
  port.advance(500);
  assert.deepEqual(ended, [["c2"]]);
  holds.add(entryOf(3), 1_000, "lost");
  holds.clear();
  port.advance(5_000);
  assert.equal(ended.length, 1);
});
