/** Names with a time, and which files are removed when a newer backup is complete. */
import assert from "node:assert/strict";
import { carriesTime, outdated, pathAt } from "../commands/backup/backup.ts";

const PATH = "/data/bus-{time}.tar.age";
const at = (day: number) => pathAt(PATH, Date.UTC(2026, 7, day, 3, 4, 5)).slice("/data/".length);

Deno.test("a path gets the time where it wants one, and only in the name of the file", () => {
  assert.equal(at(1), "bus-20260801T030405Z.tar.age");
  assert.equal(pathAt("/data/bus.tar", 0), "/data/bus.tar");
  assert.deepEqual(
    [PATH, "{time}", "/data/bus.tar", "/{time}/bus.tar", "/{time}/{time}.tar", "{time}{time}"]
      .map(carriesTime),
    [true, true, false, false, false, false],
  );
});

Deno.test("the newest stay, older ones and what they have left go, and nothing else", () => {
  const others = [
    "bus-.tar.age",
    "bus-20260701T030405Z.tar",
    "bus-20260701T030405Z.tar.age.sha256",
    "old-bus-20260701T030405Z.tar.age",
    "bus-2026-07-01.tar.age",
    "20260701T030405Z",
  ];
  const names = [at(4), at(2), ...others, at(1), at(3)];
  assert.deepEqual(outdated(names, PATH, 2), [at(1), at(2)]);
  assert.deepEqual(outdated(names, PATH, 4), []);
  assert.deepEqual(outdated(names, PATH, 9), []);
  assert.deepEqual(outdated([], PATH, 1), []);
  const partial = (day: number) => `${at(day)}.partial`;
  // An unfinished file that is newer than the kept ones may still be being written.
  assert.deepEqual(outdated([...names, partial(1), partial(5)], PATH, 3), [at(1), partial(1)]);
  assert.deepEqual(outdated([partial(1), partial(2)], PATH, 1), []);
});
