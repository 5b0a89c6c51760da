/** What a page tells its reader to do, and what about a page cannot be understood. */
import assert from "node:assert/strict";
import { readSteps, shows, withoutCommands } from "./readme_steps.ts";

const sh = (commands: string, marker = "") => `${marker}\n~~~sh\n${commands}\n~~~\n`;
const text = (shown: string, marker = "") => `${marker}\n~~~text\n${shown}\n~~~\n`;
const KEEPS = "<!-- keeps running -->\n";
const THERE = "<!-- in that terminal -->\n";

/** The steps without their places. */
function read(...blocks: string[]) {
  return readSteps(blocks.join("\n")).map(({ line: _line, section: _section, ...step }) => step);
}

Deno.test("a block runs to its end, and prints the text behind it", () => {
  assert.deepEqual(read(sh("a", "<!-- fails -->"), text("no"), sh("b\nc")), [
    { kind: "run", text: "a\n", fails: true, prints: "no\n" },
    { kind: "run", text: "b\nc\n", fails: false, prints: undefined },
  ]);
});

Deno.test("what keeps running is ready with the text behind it, or with the first line of a later one", () => {
  const page = [sh("bus", KEEPS), text("ready"), sh("sub", KEEPS), sh("in", KEEPS), text("in")];
  const [bus, sub, ...rest] = readSteps([...page, sh("pub"), text("on\nhi", THERE)].join("\n"));
  assert.equal(bus?.kind === "start" && bus.ready, "ready\n");
  assert.equal(sub?.kind === "start" && sub.ready, "on\n…\n");
  assert.deepEqual(rest.map(({ kind }) => kind), ["start", "run", "printed"]);
  const shown = rest.at(-1);
  assert.equal(shown?.kind === "printed" && shown.by, sub?.line);
});

Deno.test("files and the tests are steps; blocks that are not run, and their text, are none", () => {
  const pages = [
    "~~~ts ignore file=a/b.ts\n1;\n~~~\n",
    sh("test", "<!-- test command -->"),
    sh("rm", "<!-- not run: there is only one -->"),
    text("gone"),
    "~~~toml\na = 1\n~~~\n",
  ];
  assert.deepEqual(read(...pages), [
    { kind: "file", text: "1;\n", path: "a/b.ts" },
    { kind: "tests", text: "test\n" },
  ]);
});

Deno.test("what cannot be understood is told by its line", () => {
  const refused: [page: string, message: RegExp][] = [
    [sh("a", "<!-- keeps runing -->"), /^Error: line 2: "keeps runing" means nothing above sh/],
    [sh("a", "<!-- in that terminal -->"), /line 2: "in that terminal" means nothing above sh/],
    [sh("a", "<!-- not run: -->"), /line 2: "not run:" means nothing/],
    [sh("a").replace("sh", "sh tset"), /line 2: "tset" means nothing/],
    [sh("a").replace("sh", "bash"), /line 2: commands are in sh, not bash/],
    ["~~~ts\n1;\n~~~", /line 1: no file=PATH/],
    [text("a"), /line 2: no commands print this text/],
    [sh("a") + text("b") + text("c"), /line 10: no commands print this text/],
    [sh("a") + text("b", THERE), /line 7: each program that keeps running has its text/],
    [sh("a", KEEPS) + text("…\nb", THERE), /line 8: no first line says when to go on/],
    [sh("a", KEEPS) + sh("b"), /line 3: no text says when this is ready/],
  ];
  for (const [page, message] of refused) assert.throws(() => readSteps(page), message, page);
});

Deno.test("headings without commands are told; a block that is not run is none", () => {
  const page = ["## A", sh("a"), "### B", sh("b"), "## C", sh("c", "<!-- not run: slow -->")];
  const steps = readSteps(page.join("\n"));
  assert.deepEqual(steps.map(({ section }) => section), ["A", "A"]);
  assert.deepEqual(withoutCommands(steps, ["A", "C", "D"]), ["C", "D"]);
});

Deno.test("an ellipsis stands for the rest of a line, or alone for lines", () => {
  assert.ok(shows("a … c\n", "a b c\n"));
  assert.ok(shows("a\n…\nd\n", "a\nb\nc\nd\n"));
  assert.ok(shows("a\n…\nd\n", "a\nd\n"));
  assert.ok(!shows("a … c\n", "a b\nc\n"));
  assert.ok(!shows("a\n", "a\nb\n"));
  assert.ok(!shows("a.c\n", "abc\n"));
});
