/** A document or program that code names exists, with its heading; a missing one is reported with its line. */
import assert from "node:assert/strict";
import { checkCitations, checkProgramNames } from "./doc_rules.ts";

const files: Record<string, string> = {
  "README.md": "# Arqon\n",
  "docs/protocol.md": "# Protocol\n\n## Text form\n",
  "policies/ABI.md": "# ABI\n",
};
const checkout = { has: (path: string) => path in files, markdown: (path: string) => files[path] };
const check = (text: string, path = "policies/sdk/sample.ts") =>
  checkCitations(path, text, checkout).map(({ line, message }) => `${line}: ${message}`);

Deno.test("a document's name is relative to the root or to the file's folder", () => {
  const good = [
    "/** See docs/protocol.md. */",
    "/** See `docs/protocol.md#text-form`, or README.md. */",
    "// What a guest may do: ../ABI.md.",
    "/**\n * Below: docs/protocol.md#text-form\n */",
    "const x = `${ROOT}docs/${name}.md`;",
    'const written = new URL("notes.md", folder);',
  ];
  for (const text of good) assert.deepEqual(check(text), [], text);
  assert.deepEqual(check('"""What is signed (docs/protocol.md)."""', "sdk/python/a.py"), []);
  assert.deepEqual(check("# See ABI.md\n", "policies/nats.conf"), []);
});

Deno.test("a missing document is reported, in every kind of comment", () => {
  assert.deepEqual(check("\n/** The limits of design.md 4. */"), [
    '2: "design.md" is no document of the checkout',
  ]);
  assert.deepEqual(check("/**\n * Rules (plans/house.md).\n */"), [
    '2: "plans/house.md" is no document of the checkout',
  ]);
  assert.match(check(`const a = 1; ${"//"} as design.md has it`).join(), /design\.md/);
  assert.match(check("// see ../../design.md").join(), /design\.md/);
  assert.match(check('"""One.\n\nAs design.md says.\n"""', "a.py").join(), /3: "design\.md"/);
  assert.match(check("a: 1 # design.md\n", "deploy/a.yaml").join(), /1: "design\.md"/);
});

Deno.test("an error or a hint that names a document below docs is checked", () => {
  assert.match(check('throw new Error("see docs/limits.md");').join(), /docs\/limits\.md/);
  assert.match(check('{ "help": "docs/limits.md lists them." }', "proto/a.json").join(), /limits/);
  assert.match(check("runbook_url: docs/protocol.md#gone", "deploy/a.yml").join(), /"#gone"/);
  assert.deepEqual(check('const sample = "docs/limits.md";', "tasks/sample_test.ts"), []);
});

Deno.test("a missing heading is reported", () => {
  assert.deepEqual(check("/** docs/protocol.md#binary-form */"), [
    '1: "docs/protocol.md": docs/protocol.md has no heading "#binary-form"',
  ]);
});

Deno.test("a comment names programs that are there, and not its own file", () => {
  const programs = new Map([
    ["bus.ts", ["arq/bus.ts"]],
    ["part.ts", ["brain/part.ts", "shield/part.ts"]],
  ]);
  const named = (text: string, path = "arq/bus.ts") =>
    checkProgramNames(path, text, programs).map(({ line, message }) => `${line}: ${message}`);
  assert.deepEqual(named("// `part.ts`, `brain/part.ts` and `../shield/part.ts` differ."), []);
  assert.deepEqual(named("/** The kinds of `part.ts`. */", "brain/part.ts"), []);
  assert.deepEqual(named('const sample = "`gone.ts`";'), []);
  assert.deepEqual(named("/**\n * Read by `gone.ts`.\n */"), [
    '2: "gone.ts" is no program of the checkout',
  ]);
  assert.match(named("// `arq/part.ts` has it.").join(), /no program/);
  assert.deepEqual(named("/** `bus.ts` has it. */"), ['1: "bus.ts" is this file']);
});
