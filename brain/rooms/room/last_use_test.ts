/** How long rooms count as unused: by one clock, and only while they are observed. */
import assert from "node:assert/strict";
import { LastUse } from "./last_use.ts";

const AT = { tenant_id: "acme", room_id: "lobby" };

function watched() {
  let now_ms = 50;
  const uses = new LastUse(() => now_ms);
  return { uses, pass: (ms: number) => void (now_ms += ms) };
}

Deno.test("a use of an unknown room, or of one without a document, is not recorded", () => {
  const { uses, pass } = watched();
  uses.note(AT);
  assert.equal(uses.size, 0);
  uses.see(AT, 7);
  uses.see(AT, undefined);
  pass(10);
  assert.deepEqual([uses.size, uses.idleMs(AT)], [0, 0]);
});
