/** Sleeps that wait in a loop are reported; pauses of a load and turns of the event loop are not. */
import assert from "node:assert/strict";
import { sleepProblem } from "./sleep_rules.ts";
import { lineOf, nodesOf, parsed } from "./sources.ts";

function found(text: string, path = "tests/sample_test.ts"): string[] {
  return nodesOf(parsed(path, text)).flatMap((node) => {
    const problem = sleepProblem(path, node);
    return problem === undefined ? [] : [`${lineOf(node)}: ${problem.split(":")[0]}`];
  });
}

const SLEEP = "new Promise((resolve) => setTimeout(resolve, 10))";

Deno.test("a sleep in any loop is reported, with any other code in the loop", () => {
  const sleeps = [
    SLEEP,
    "new Promise<void>((done) => setTimeout(() => done(), 10))",
    "new Promise((done) => { setTimeout(done, 10); })",
  ];
  for (const sleep of sleeps) {
    for (const loop of ["while (a) ", "for (;;) ", "do ", "for (const b of c) "]) {
      const end = loop === "do " ? " while (a);" : "";
      const text = `${loop}{\n  f();\n  if (b) await Promise.race([e, ${sleep}]);\n}${end}`;
      assert.deepEqual(found(text), ["3: a sleep in a loop"], text);
    }
  }
});

Deno.test("a single check of a process's log is reported, the check of an absent text is not", () => {
  assert.deepEqual(found("assert.match(\n  bus.log(),\n  /ready/,\n);"), [
    "1: a look at the log of a process that may still write",
  ]);
  assert.deepEqual(
    found("assert.doesNotMatch(bus.log(), /panic/);\nawait logged(bus, /ready/);"),
    [],
  );
});

Deno.test("a function that only sleeps belongs in pace.ts, and nowhere else", () => {
  const functions = [
    `const pause = (ms: number) => ${SLEEP};`,
    `const pause = async (ms: number) => await ${SLEEP};`,
    `function pause(ms: number) { return ${SLEEP}; }`,
    `class A { async pause() { await ${SLEEP}; } }`,
  ];
  for (const text of functions) {
    assert.deepEqual(found(text), ["1: use `pace` or `turn` of shared/testing/pace.ts"], text);
    assert.deepEqual(found(text, "shared/testing/pace.ts"), []);
  }
});

Deno.test("a loop without a count that only pauses waits for something", () => {
  const polls = [
    "while (!a) await pace(10);",
    "while (!a) { await turn(); }",
    "do await pace(10); while (!a);",
    "for (const until_ms = 5; b() < until_ms;) await pace(10);",
  ];
  for (const text of polls) assert.deepEqual(found(text), ["1: a loop that only pauses"], text);
});

Deno.test("a load's pace, counted turns, one sleep, and other timers are not such waits", () => {
  const good = [
    "while (!a) { send(); await pace(10); }",
    "for (let n = 0; n < 5; n++) await turn();",
    `await ${SLEEP};`,
    `while (a) { const later = async () => { f(); await ${SLEEP}; }; run(later); }`,
    "while (a) await new Promise((resolve, reject) => { setTimeout(reject, 10); b(resolve); });",
    "while (a) await new Promise((resolve) => socket.on('data', resolve));",
  ];
  for (const text of good) assert.deepEqual(found(text), [], text);
});
