/** For how long rooms are seen unused: by one clock, and only while somebody looks. */
import assert from "node:assert/strict";
import { LastUse } from "./last_use.ts";

const AT = { tenant_id: "acme", room_id: "lobby" };

function watched() {
  let now_ms = 50;
  const uses = new LastUse(() => now_ms);
  return { uses, pass: (ms: number) => void (now_ms += ms) };
}

Deno.test("a room is idle from when its last revision was first seen, or a later use", () => {
  const { uses, pass } = watched();
  assert.equal(uses.idleMs(AT), 0, "unknown");
  uses.see(AT, 7);
  pass(10);
  uses.see(AT, 7);
  assert.equal(uses.idleMs(AT), 10, "read again");
  uses.note(AT);
  pass(5);
  assert.equal(uses.idleMs(AT), 5);
  uses.see(AT, 8);
  assert.equal(uses.idleMs(AT), 0, "written");
  pass(5);
  uses.see(AT, 7);
  assert.equal(uses.idleMs(AT), 0, "any other revision is a write, also a lower one");
});

Deno.test("a use of a room that was never seen, or has no document, is not kept", () => {
  const { uses, pass } = watched();
  uses.note(AT);
  assert.equal(uses.size, 0);
  uses.see(AT, 7);
  uses.see(AT, undefined);
  pass(10);
  assert.deepEqual([uses.size, uses.idleMs(AT)], [0, 0]);
});

Deno.test("what is forgotten counts anew from when it is seen again", () => {
  for (
    const forget of [(uses: LastUse) => uses.clear(), (uses: LastUse) => uses.keepOnly(() => false)]
  ) {
    const { uses, pass } = watched();
    uses.see(AT, 7);
    pass(10);
    uses.keepOnly(({ room_id }) => room_id === "lobby");
    assert.equal(uses.idleMs(AT), 10);
    forget(uses);
    uses.see(AT, 7);
    pass(1);
    assert.equal(uses.idleMs(AT), 1);
  }
});
