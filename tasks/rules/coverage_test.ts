/** The floor holds for what is measured and for what no test loads. */
import assert from "node:assert/strict";
import { folderCoverage, isAboveFloor, parseLcov, runnableLines } from "./coverage.ts";

const report = `SF:/root/brain/a.ts
DA:1,1
DA:2,0
DA:3,12
LH:2
LF:3
end_of_record
SF:/root/brain/rooms/b.ts
DA:7,0
end_of_record
SF:/root/brainstorm/c.ts
DA:1,1
end_of_record
`;

Deno.test("an lcov report is read by path below the root", () => {
  const counts = parseLcov(report, "/root/");
  assert.deepEqual(counts.get("brain/a.ts"), { lines: 3, hit: 2 });
  assert.deepEqual(counts.get("brain/rooms/b.ts"), { lines: 1, hit: 0 });
});

Deno.test("a folder adds up its own files and no neighbour's", () => {
  assert.deepEqual(folderCoverage(parseLcov(report, "/root/"), "brain"), { lines: 4, hit: 2 });
});

Deno.test("the floor itself is not enough, and nothing at all is not either", () => {
  assert.equal(isAboveFloor({ lines: 100, hit: 80 }, 0.8), false);
  assert.equal(isAboveFloor({ lines: 100, hit: 81 }, 0.8), true);
  assert.equal(isAboveFloor({ lines: 0, hit: 0 }, 0.8), false);
});

Deno.test("lines that run are counted without types, imports and comments", () => {
  const text = `/** A file. */
import a from "./a.ts";
export interface B {
  c: number;
}
type D = number;

/** Doc. */
export function e() {
  // why
  return a +

    1;
}
export { a } from "./a.ts";
`;
  assert.equal(runnableLines(text), 4);
  assert.equal(runnableLines("/** Only a type. */\nexport type A = number;\n"), 0);
});
