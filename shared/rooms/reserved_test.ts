/** The table of reserved rooms. */
import assert from "node:assert/strict";
import { companionsOf, judgedRoomOf, reservedRoom } from "./reserved.ts";

Deno.test("each reserved room is read by the grants of the room to which it belongs, or not at all", () => {
  assert.deepEqual(reservedRoom("x~members"), { of: "x", grants: ["subscribe", "presence"] });
  assert.deepEqual(reservedRoom("x~growing"), { of: "x", grants: ["subscribe"] });
  assert.deepEqual(reservedRoom("x~values"), { of: "x", grants: ["subscribe"] });
  assert.deepEqual(reservedRoom("x~reducer"), { of: "x", grants: undefined });
  assert.deepEqual(reservedRoom("~events"), { of: undefined, grants: undefined });
  for (const room of ["x", "x~y", "~members", "~growing", "members", "x~members~"]) {
    assert.equal(reservedRoom(room), undefined, room);
  }
});

Deno.test("policies decide about the room to which a companion room belongs, at any depth", () => {
  for (
    const room of ["x", "x~members", "x~growing", "x~values", "x~reducer", "x~members~growing"]
  ) {
    assert.equal(judgedRoomOf(room), "x");
  }
  assert.equal(judgedRoomOf("~events"), "~events");
  assert.equal(judgedRoomOf("x~y"), "x~y");
});

Deno.test("a client removed from a room is removed from all its companion rooms", () => {
  assert.deepEqual(companionsOf("x"), ["x~members", "x~growing", "x~values"]);
  assert.deepEqual(companionsOf("x".repeat(64)), []);
});
