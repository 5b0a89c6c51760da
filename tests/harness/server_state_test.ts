/** Pages of metrics become numbers by name with labels, and of a log the errors are found, whole. */
import assert from "node:assert/strict";
import { errorsIn, readSamples } from "./server_state.ts";

Deno.test("samples are read by name with labels; comments and what is no number are none", () => {
  const page = '# HELP n of something\n# TYPE n counter\nn{a="x"} 3\nn_other 9.5e+3\nbad NaN\n';
  assert.deepEqual(readSamples(page), new Map([['n{a="x"}', 3], ["n_other", 9_500]]));
});

Deno.test("errors are the lines that a process logged as such, from their begin to their end", () => {
  const log = [
    'time=1 level=warn msg="level of a room"',
    'time=2 level=error msg="one"',
    'time=3 level=info msg="ready"',
    'time=4 level=error msg="two"',
  ];
  assert.deepEqual(errorsIn(log.join("\n")), [log[1], log[3]]);
  assert.deepEqual(errorsIn(""), []);
});
