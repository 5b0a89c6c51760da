/** The quick start, the tutorials and the page of HTTP do what they show, on a real bus, line by line. */
import assert from "node:assert/strict";
import { readSteps, shows } from "./tutorial_blocks.ts";
import { follow } from "./tutorial_shell.ts";

const DOCS = new URL("../../docs/", import.meta.url);

for (const name of ["quick_start", "tutorial_policies", "tutorial_schemas", "http-api"]) {
  Deno.test(`docs/${name}.md: every command does and prints what the page says`, async () => {
    await follow(await Deno.readTextFile(new URL(`${name}.md`, DOCS)));
  });
}

Deno.test("a page that shows what a command does not print is told by its line", async () => {
  const page = (shown: string) => `
~~~sh test
echo one
echo two
~~~

~~~text output
${shown}
~~~
`;
  await follow(page("one\ntwo"));
  await assert.rejects(follow(page("one\nthree")), /^Error: line 7: it printed:\none\ntwo/);
  const fails = page("one\ntwo").replace("sh test", "sh test fails");
  await assert.rejects(follow(fails), /^Error: line 2: exit code 0/);
});

Deno.test("an ellipsis stands for the rest of a line, or alone for lines", () => {
  assert.ok(shows("a … c\n", "a b c\n"));
  assert.ok(shows("a\n…\nd\n", "a\nb\nc\nd\n"));
  assert.ok(shows("a\n…\nd\n", "a\nd\n"));
  assert.ok(!shows("a … c\n", "a b\nc\n"));
  assert.ok(!shows("a\n", "a\nb\n"));
  assert.ok(!shows("a.c\n", "abc\n"));
});

Deno.test("words behind a language that mean nothing are refused", () => {
  assert.throws(() => readSteps("~~~sh tset\necho\n~~~\n"), /line 1: "tset"/);
  assert.deepEqual(readSteps("~~~sh\necho\n~~~\n"), []);
});
