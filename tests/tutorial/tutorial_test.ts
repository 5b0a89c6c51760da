/** The tutorials and the page of HTTP, line by line on a real bus. CI runs the quick start by `deno task readme`. */
import assert from "node:assert/strict";
import { follow } from "./tutorial_shell.ts";

const DOCS = new URL("../../docs/", import.meta.url);

const PAGES = ["tutorial_rooms", "tutorial_policies", "tutorial_schemas", "http-api"];

for (const name of PAGES) {
  Deno.test(`docs/${name}.md: every command does and prints what the page says`, async () => {
    await follow(await Deno.readTextFile(new URL(`${name}.md`, DOCS)));
  });
}

for (const name of ["why", "rollout"]) {
  Deno.test(`docs/${name}.md: "Try it" does and prints what it says`, async () => {
    const page = await Deno.readTextFile(new URL(`${name}.md`, DOCS));
    await follow(page.split(/^## /m).find((section) => section.startsWith("Try it\n")) ?? "");
  });
}

Deno.test("a page whose shown output differs is reported with its line", async () => {
  const page = (shown: string) => `
~~~sh
echo one
echo two
~~~

~~~text
${shown}
~~~
`;
  await follow(page("one\ntwo"));
  await assert.rejects(
    follow(page("one\nthree")),
    /^Error: line 2: other text was printed\n {2}expected:\n {4}one\n {4}three\n {2}came:\n {4}one\n {4}two$/,
  );
  const fails = page("one\ntwo").replace("~~~sh", "<!-- fails -->\n~~~sh");
  await assert.rejects(follow(fails), /^Error: line 3: an exit code that is not 0 was expected/);
});
