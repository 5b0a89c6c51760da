/** Every kind of error in a document is reported, with its line; a valid document passes. */
import assert from "node:assert/strict";
import { checkConstants, checkMarkdown, type Checkout } from "./doc_rules.ts";
import { anchors, fencedBlocks, links } from "../checkout/markdown.ts";

const files: Record<string, string> = {
  "README.md": "# Arqon\n",
  "docs/protocol.md": "# Protocol\n\n## Text form: `json`\n\n## Codes\n\n## Codes\n",
  "docs/picture.png": "",
  "docs/a_test.ts": 'Deno.test("a name", () => {});',
};

const checkout: Checkout = {
  has: (path) => path in files || path === "docs",
  markdown: (path) => path.endsWith(".md") ? files[path] : undefined,
  text: (path) => files[path] ?? "",
  tasks: new Set(["dev", "test:external", "bench"]),
  scenarios: new Set(["echo"]),
  commands: new Map([["room", false], ["room get", true], ["pub", true]]),
  configProblem: (text) => text.includes("prot =") ? 'unknown key "prot"' : undefined,
};

const check = (text: string, path = "docs/sample.md") =>
  checkMarkdown(path, text, checkout).map(({ line, message }) => `${line}: ${message}`);

Deno.test("links to existing files of the checkout are valid", () => {
  const good = [
    "[a](protocol.md)",
    "[a](../README.md)",
    "[a](../docs)",
    "[a](../docs/)",
    "[a](./protocol.md#text-form-json)",
    "[a](protocol.md#codes-1)",
    "![a](picture.png)",
    '[a](protocol.md "title")',
    "[a](https://example.com/nothing#here)",
    "[a][b]\n\n[b]: protocol.md",
    "`[a](nothing.md)`",
    "```md\n[a](nothing.md)\n```",
    "# Here\n\n[a](#here)",
  ];
  files["docs/sample.md"] = "# Here\n";
  for (const text of good) assert.deepEqual(check(text), [], text);
});

Deno.test("broken links, and links out of the checkout or to the root, are reported", () => {
  assert.deepEqual(check("\n[a](nothing.md)"), ['2: "nothing.md" does not exist']);
  assert.deepEqual(check("![a](nothing.png)"), ['1: "nothing.png" does not exist']);
  assert.deepEqual(check("[b]: nothing.md"), ['1: "nothing.md" does not exist']);
  assert.match(check("[a](protocol.md#missing)").join(), /has no heading "#missing"/);
  assert.match(check("[a](protocol.md#codes-2)").join(), /has no heading/);
  assert.match(check("[a](../../shared/design.md)").join(), /leads out of the checkout/);
  assert.match(check("[a](/docs/protocol.md)").join(), /links are relative/);
});

Deno.test("a command of arq and a scenario of the bench that are gone are reported", () => {
  const good = [
    "`arq pub lobby`, `arq room get` and all of `arq room`",
    "`deno task bench echo --quick` and `bench reach`, last in 822894ba",
    "`deno task bench reach --receivers 9`\n(last in 822894ba)",
  ];
  for (const text of good) assert.deepEqual(check(text), [], text);
  assert.deepEqual(check("\nas `arq log level` does"), ['2: "arq log level" is no command']);
  assert.deepEqual(check("$ arq room gte"), ['1: "arq room gte" is no command']);
  assert.deepEqual(check("\n`deno task bench reach`"), [
    '2: the bench has no scenario "reach": say "last in COMMIT"',
  ]);
});

Deno.test("a test that the linked file lacks is reported", () => {
  assert.deepEqual(check('| [a_test](a_test.ts): "a name" |'), []);
  assert.deepEqual(check('\n| [a_test](a_test.ts): "old name" |'), [
    '2: docs/a_test.ts has no test "old name"',
  ]);
});

Deno.test("a task that deno.json lacks is reported", () => {
  assert.deepEqual(check("run `npx -y deno task dev` or `deno task test:external DIR`"), []);
  assert.deepEqual(check("```sh\nnpx -y deno@2.9.6 task nothing\n```"), [
    '2: deno.json has no task "nothing"',
  ]);
});

Deno.test("toml blocks are read as configuration, json blocks as JSON", () => {
  assert.deepEqual(check("```toml\nport = 1\n```\n```json\n{}\n```\n```\nprot = {\n```"), []);
  assert.deepEqual(check("a\n\n```toml\nprot = 1\n```"), ['3: unknown key "prot"']);
  assert.match(check("```json\n{a: 1}\n```").join(), /1: not JSON/);
});

Deno.test("fences of both kinds, longer fences and fences in lists are found", () => {
  const text = "- item\n  ```ts\n  a\n  ```\n~~~~toml x\n```\nb\n~~~\n~~~~\n```js\nnever closed\n";
  assert.deepEqual(fencedBlocks(text), [
    { language: "ts", info: "", text: "  a\n", line: 2 },
    { language: "toml", info: "x", text: "```\nb\n~~~\n", line: 5 },
  ]);
});

Deno.test("a line may have several links", () => {
  assert.deepEqual(links("[a](b.md) and [c](<d.md>) `[e](f.md)`").map((link) => link.target), [
    "b.md",
    "d.md",
  ]);
});

Deno.test("anchors follow GitHub's spelling", () => {
  assert.deepEqual([...anchors("# A *b* `c_d`: 1.2\n## [Link](x.md)\n```\n# no\n```\n# Ä & ö")], [
    "a-b-c_d-12",
    "link",
    "ä--ö",
  ]);
});

Deno.test("a constant that a text names as a key is found, also across a line break", () => {
  const names = new Set(["log.lines"]);
  const of = (text: string) =>
    checkConstants("a.md", text, names).map(({ line, message }) => `${line}: ${message}`);
  const wanted = '"[log] lines" is a constant: write "log.lines"';
  assert.deepEqual(of("a\nSee `[log] lines`.\n * [log]\n * lines"), [
    `2: ${wanted}`,
    `3: ${wanted}`,
  ]);
  assert.deepEqual(of("`[log] level`, `log.lines`, `[[log] lines`"), []);
});
