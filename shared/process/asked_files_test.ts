/** Configured connections compared with the files that may be opened. */
import assert from "node:assert/strict";
import { askedFiles, fileProblem, filesByTrial } from "./asked_files.ts";

/** A system that gives `limit` files; `most` is how many were open at once, `left` how many still are. */
function system(limit: number) {
  const state = { most: 0, left: 0 };
  const open = () => {
    if (state.left >= limit) throw new Error("too many open files");
    state.most = Math.max(state.most, ++state.left);
    return { close: () => void state.left-- };
  };
  return { state, open };
}

Deno.test("only a configured number is checked, with its position", () => {
  assert.equal(askedFiles("[limits]\nstrangers = 5\n", 18_000), undefined);
  const asked = askedFiles("[limits]\n\nconnections_per_process = 1_000\n", 1_000);
  assert.ok(asked);
  assert.deepEqual([asked.files, asked.source, asked.position], [1_256, "1_000", {
    line: 3,
    column: 27,
  }]);
  assert.equal(fileProblem(asked, 1_256), undefined);
  assert.equal(fileProblem(asked, Infinity), undefined);
  assert.deepEqual(fileProblem(asked, 1_255), {
    position: { line: 3, column: 27 },
    key: "limits.connections_per_process",
    text: "1_000 needs 1256 open files, and a process here may open 1255; expected at most 999, " +
      "or a higher ulimit -n",
  });
});

Deno.test("a trial opens the wanted number and no more, and leaves nothing open", () => {
  const plenty = system(1_000_000);
  assert.equal(filesByTrial(1_256, plenty.open), Infinity);
  assert.deepEqual(plenty.state, { most: 1_224, left: 0 });
  const few = system(500);
  assert.equal(filesByTrial(1_256, few.open), 532, "those that are open already are of the limit");
  assert.deepEqual(few.state, { most: 500, left: 0 });
  const huge = system(1_000_000);
  assert.equal(filesByTrial(10_000_256, huge.open), Infinity);
  assert.deepEqual(huge.state, { most: 262_144, left: 0 });
});
