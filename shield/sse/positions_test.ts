/** Ids of events and positions of the query: what is a position, and what is refused. */
import assert from "node:assert/strict";
import { parseEventId, positionText, queriedPosition } from "./positions.ts";

Deno.test("an event's id comes back as the positions that it was made of", () => {
  const positions = [{ epoch: "3k0yukhub7axn", offset: 41 }, undefined, { epoch: "", offset: 7 }];
  assert.deepEqual(parseEventId(positions.map(positionText).join(","), 3), positions);
});

Deno.test("an id of something else is refused, and never taken for a position", () => {
  for (const text of ["", "41", "e:", "e:-1", "e:1.5", "e:99999999999999999", "a b:1", "e:1;f:2"]) {
    assert.throws(() => parseEventId(text, 1), { reason: "invalid-field" }, text);
  }
  assert.throws(() => parseEventId("e:1,f:2", 1), { reason: "invalid-field" });
  assert.throws(() => parseEventId("e:1", 2), { reason: "invalid-field" });
});

Deno.test("a position in the query is of one room", () => {
  assert.equal(queriedPosition(null, null, 2), undefined);
  assert.deepEqual(queriedPosition("3", null, 1), { epoch: "", offset: 3 });
  assert.deepEqual(queriedPosition(null, "e", 1), { epoch: "e", offset: 0 });
  assert.throws(() => queriedPosition("3", "e", 2), { reason: "invalid-field" });
  assert.throws(() => queriedPosition("x", "e", 1), { reason: "invalid-field" });
});
