/** Ids of events and positions of the query: valid ones, and refused ones. */
import assert from "node:assert/strict";
import { parseEventId, positionText, queriedPosition } from "./positions.ts";

Deno.test("an event's id is parsed back to its positions", () => {
  const positions = [{ epoch: "3k0yukhub7axn", offset: 41 }, undefined, { epoch: "", offset: 7 }];
  assert.deepEqual(parseEventId(positions.map(positionText).join(","), 3), positions);
});

Deno.test("a reader from the start resumes from the start, wherever its stream was cut off", () => {
  assert.deepEqual(parseEventId("e:2,*:0", 2), [{ epoch: "e", offset: 2 }, {
    epoch: "*",
    offset: 0,
  }]);
});

Deno.test("an invalid id is refused, and never taken for a position", () => {
  for (const text of ["", "41", "e:", "e:-1", "e:1.5", "e:99999999999999999", "a b:1", "e:1;f:2"]) {
    assert.throws(() => parseEventId(text, 1), { reason: "invalid-field" }, text);
  }
  assert.throws(() => parseEventId("e:1,f:2", 1), { reason: "invalid-field" });
  assert.throws(() => parseEventId("e:1", 2), { reason: "invalid-field" });
});

Deno.test("a position in the query is for one room", () => {
  const queried = (text: string, rooms: number) =>
    queriedPosition(new URLSearchParams(text), rooms);
  assert.equal(queried("", 2), undefined);
  // Without an epoch it belongs to no room.
  assert.deepEqual(queried("after_offset=3", 1), { epoch: "-", offset: 3 });
  assert.deepEqual(queried("after_offset=0", 1), { epoch: "-", offset: 0 });
  assert.deepEqual(queried("epoch=e", 1), { epoch: "e", offset: 0 });
  assert.deepEqual(queried("from=start", 2), { epoch: "*", offset: 0 });
  for (const wrong of ["after_offset=x&epoch=e", "from=end", "from=start&epoch=e"]) {
    assert.throws(() => queried(wrong, 1), { reason: "invalid-field" }, wrong);
  }
  assert.throws(() => queried("after_offset=3&epoch=e", 2), { reason: "invalid-field" });
});
