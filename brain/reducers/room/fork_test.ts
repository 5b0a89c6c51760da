/** Which forks keep a room's past. Tests beside this folder cover a whole bus. */
import assert from "node:assert/strict";
import { forksOf } from "./fork.ts";

Deno.test("a fork pins the past of its source rooms, until it has a snapshot", () => {
  const room = (room_id: string, source: string, snapshot = "", tenant_id = "t") => {
    const fork = source === ""
      ? null
      : { room_id: source, offset: 7, with_timers: true, life: "life" };
    const is_stored = snapshot !== "";
    return { tenant_id, room_id, is_behind: false, next_ms: null, fork, is_stored };
  };
  const known = [
    room("a", "", "s-a"),
    room("b", "a", "s-b"),
    room("c", "b"),
    room("d", "c"),
    room("e", "a", "s-e"),
    room("f", "a", "", "other"),
    // No fork creates such a cycle, and the search ends all the same.
    room("g", "g"),
  ];
  const held = (room_id: string, tenant_id = "t") => forksOf({ tenant_id, room_id }, known);
  assert.deepEqual(held("a"), ["c", "d"]);
  assert.deepEqual(held("b"), ["c", "d"]);
  assert.deepEqual(held("c"), ["d"]);
  assert.deepEqual(held("d"), []);
  assert.deepEqual(held("e"), []);
  assert.deepEqual(held("a", "other"), ["f"]);
});
