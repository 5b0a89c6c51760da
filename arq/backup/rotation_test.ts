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

Deno.test("the newest stay, older ones and their remains are removed, and nothing else", () => {
  const others = [
    "bus-.tar.age",
    "bus-20260701T030405Z.tar",
    "bus-20260701T030405Z.tar.age.sha256",
    "old-bus-20260701T030405Z.tar.age",
    "bus-2026-07-01.tar.age",
    "20260701T030405Z",
  ];
  const names = [at(4), at(2), ...others, at(1), at(3)];
  assert.deepEqual(outdated(names, PATH, 2, at(4)), [at(1), at(2)]);
  assert.deepEqual(outdated(names, PATH, 4, at(4)), []);
  assert.deepEqual(outdated(names, PATH, 9, at(4)), []);
  assert.deepEqual(outdated([], PATH, 1, at(4)), []);
  const partial = (day: number) => `${at(day)}.partial`;
  // An unfinished file that is newer than the kept ones may still be being written.
  const more = [...names, partial(1), partial(5)];
  assert.deepEqual(outdated(more, PATH, 3, at(4)), [at(1), partial(1)]);
  assert.deepEqual(outdated([partial(1), partial(2)], PATH, 1, at(4)), []);
});

Deno.test("a clock that is wrong removes no newer backup: not the one just made, nor those before", () => {
  // The clock is behind the files that are there, as of a machine that starts in 1970.
  const behind = pathAt(PATH, 0).slice("/data/".length);
  const names = [1, 2, 3].map(at);
  assert.deepEqual(outdated([...names, behind], PATH, 2, behind), []);
  // It is right again: what was made then goes first.
  assert.deepEqual(outdated([...names, behind, at(4)], PATH, 4, at(4)), [behind]);
  // Backups of a clock that was ahead take nobody's place.
  const ahead = [20, 21, 22].map(at);
  assert.deepEqual(outdated([...names, ...ahead, at(4)], PATH, 2, at(4)), [at(1), at(2)]);
  assert.deepEqual(outdated([...ahead, at(23)], PATH, 2, at(23)), [at(20), at(21)]);
});
