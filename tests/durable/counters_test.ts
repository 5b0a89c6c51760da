/** Sums of counters over several lives of a process. */
import assert from "node:assert/strict";
import { Counters } from "./counters.ts";

Deno.test("a counter goes on where the process before had it, and processes are added up", () => {
  const counters = new Counters();
  counters.look("one", "life 1", '# HELP n\nn{a="x"} 3\nn_other 9\n');
  counters.look("one", "life 1", 'n{a="x"} 5\n');
  counters.look("one", "life 2", 'n{a="x"} 1\nn{a="y"} 2\n');
  counters.look("two", "life 1", 'n{a="x"} 10\n');
  assert.deepEqual(counters.of("n"), new Map([['{a="x"}', 16], ['{a="y"}', 2]]));
});
