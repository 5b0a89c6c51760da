/** Each house rule is violated here and must report it; a valid file must pass, and so must pauses of a load. */
import assert from "node:assert/strict";
import { checkName, checkSilence, checkText, checkTypeScript, FILE_LINES } from "./size_rules.ts";
import { FUNCTION_LINES, READ_EXTENSIONS, sleepProblem } from "./size_rules.ts";
import { listFiles } from "../checkout/source_files.ts";
import { lineOf, nodesOf, parsed } from "./sources.ts";

const messages = (text: string, path = "shared/sample.ts") =>
  checkTypeScript(path, text).map((violation) => `${violation.line}: ${violation.message}`);

const opening = "/** A sample. */\n";

Deno.test("a valid file has no violation", () => {
  const text = `${opening}import a from "./a.ts";

/** Adds one. */
export function addOne(value: number): number {
  return value + a;
}

const hidden = 1;
export { b } from "./b.ts";
`;
  assert.deepEqual(messages(text), []);
});

Deno.test("a file above the limit is reported, one at the limit is not", () => {
  const lines = (count: number) => opening + "// line\n".repeat(count - 1);
  assert.deepEqual(messages(lines(FILE_LINES)), []);
  assert.deepEqual(messages(lines(FILE_LINES + 1)), [
    `0: ${FILE_LINES + 1} lines; at most ${FILE_LINES}`,
  ]);
});

Deno.test("every kind of function is measured, from its first line to its last", () => {
  const body = (lines: number) => "\n" + "  f();\n".repeat(lines - 2);
  const kinds: Record<string, (inside: string) => string> = {
    named: (inside) => `function named() {${inside}}\n`,
    arrow: (inside) => `const arrow = () => {${inside}};\n`,
    method: (inside) => `class A { method() {${inside}} }\n`,
    getter: (inside) => `class A { get getter() {${inside}} }\n`,
    '"a test"': (inside) => `Deno.test("a test", () => {${inside}});\n`,
  };
  for (const [name, write] of Object.entries(kinds)) {
    assert.deepEqual(messages(opening + write(body(FUNCTION_LINES))), []);
    assert.deepEqual(messages(opening + write(body(FUNCTION_LINES + 1))), [
      `2: ${name} has ${FUNCTION_LINES + 1} lines; at most ${FUNCTION_LINES}`,
    ]);
  }
});

Deno.test("an object that is spread into another is reported", () => {
  assert.deepEqual(messages(`${opening}const all = { ...{ a, b }, ...(c && { d }), ...e };\n`), [
    "2: write the properties without `...{}`",
  ]);
});

Deno.test("names that are declared as a tuple are reported, and those of a loop are not", () => {
  const text =
    "const [a, b] = [1, 2];\nfor (let [at, last] = [0, a]; at < b; last = at++) f(last);\n";
  assert.deepEqual(messages(opening + text), ["2: declare each name by itself"]);
});

Deno.test("a file of arq that is written in another way than as a whole is reported", () => {
  for (const call of ["Deno.writeFile(a, b)", "io.files.writer(a, 0o644)"]) {
    const text = `${opening}await ${call};\n`;
    assert.match(messages(text, "arq/a/b.ts").join(), /^2: write files with `files\.write`/);
    for (const path of ["arq/terminal/whole_file.ts", "arq/a/b_test.ts", "shared/b.ts"]) {
      assert.deepEqual(messages(text, path), []);
    }
  }
});

Deno.test("braces in strings, templates and comments do not confuse the measure", () => {
  const text = `${opening}function f() {\n  return "{" + \`\${"{"}\` + /[{]/.source; // {\n}\n`;
  assert.deepEqual(messages(text), []);
});

Deno.test("a file that does not open with a comment is reported", () => {
  assert.match(messages("const a = 1;\n/** late */\n").join(), /open the file with a comment/);
  assert.deepEqual(messages("#!/usr/bin/env -S deno run\n// A sample.\nf();\n"), []);
});

Deno.test("every exported declaration needs a docstring", () => {
  const declarations = [
    "export function a() {}",
    "export const a = 1;",
    "export class a {}",
    "export interface a { b: number }",
    "export type a = number;",
    "export enum a { B }",
    "function a() {}\nexport { a };",
    "function a() {}\nexport { a as b };",
    "// a plain comment is no docstring\nexport const a = 1;",
  ];
  for (const declaration of declarations) {
    const text = `${opening}\nf();\n${declaration}\n`;
    assert.match(messages(text).join(), /exported a has no docstring/, declaration);
    assert.deepEqual(
      messages(text.replace(/^(?=export [a-z]+ a|function)/m, "/** It is. */\n")),
      [],
    );
    assert.deepEqual(messages(text, "shared/sample_test.ts"), []);
  }
});

Deno.test("the file's own comment is not the docstring of its first export", () => {
  const text = "/** The file. */\n\nimport b from './b.ts';\nexport const a = b;\n";
  assert.match(messages(text).join(), /exported a has no docstring/);
});

Deno.test("one docstring serves all overloads", () => {
  const text = `${opening}f();
/** Twice. */
export function a(x: string): void;
export function a(x: number): void;
export function a() {}
`;
  assert.deepEqual(messages(text), []);
});

Deno.test("words that mark unfinished work are reported with their line", () => {
  for (const word of ["TO" + "DO", "FIX" + "ME"]) {
    assert.deepEqual(messages(`${opening}\n// ${word}: later\n`), [
      `3: "${word}": finish it or open an issue`,
    ]);
    assert.equal(checkText("README.md", `a\n${word}\n`, Infinity).length, 1);
  }
  assert.deepEqual(messages(`${opening}const toDoList = "TODOS";\n`), []);
});

Deno.test("every source of the servers is checked for such words, including the console's", async () => {
  const layers = ["proto/", "shared/", "shield/", "brain/", "arq/"];
  const files = (await listFiles([""])).filter((path) =>
    layers.some((one) => path.startsWith(one))
  );
  assert.ok(files.some((path) => path.startsWith("shield/admin/console/") && path.endsWith(".js")));
  const unread = files.filter((path) => !READ_EXTENSIONS.some((end) => path.endsWith(end)));
  // Data and texts of licences cannot have a remark.
  assert.deepEqual(unread.filter((path) => !/\.json$|\/LICENSE$/.test(path)), []);
});

Deno.test("meaningless names and names that are not snake_case are reported", () => {
  const bad = [
    "shared/utils.ts",
    "shared/helpers.ts",
    "shared/util_test.ts",
    "shared/helpers/a.ts",
    "shared/camelCase.ts",
    "shared/kebab-case.ts",
  ];
  for (const path of bad) assert.equal(checkName(path).length, 1, path);
  for (const path of ["shared/nats_kv.ts", "a/envelope_pb.ts", "a/b.d.ts", "a/v1.proto"]) {
    assert.deepEqual(checkName(path), [], path);
  }
});

Deno.test("a test that is skipped or runs alone is reported", () => {
  const samples = [
    'Deno.test.ignore("a", f);',
    'Deno.test.only("a", f);',
    'Deno.test({ name: "a", ignore: true, fn: f });',
    'Deno.test({ name: "a", ignore: Deno.build.os === "linux", fn: f });',
  ];
  for (const sample of samples) {
    const found = messages(`${opening}${sample}\n`, "shared/sample_test.ts");
    assert.deepEqual(found, ["2: no test is left out or run alone"], sample);
  }
});

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

const linesOf = (text: string, path = "shield/a.ts") =>
  checkSilence(path, text).map(({ line }) => line);

Deno.test("silence: a failure that is swallowed, or logged at debug, needs its reason", () => {
  for (
    const swallows of [
      "void read().catch(() => {});",
      "const found = await read().catch(() => undefined);",
      "const rows = await read().catch(() => []);",
      "const { length } = await read().catch(() => ({ length: 1 }));",
      "void publish().then(over, () => {});",
      "const is_there = read().then(() => true, () => false);",
      "await remove().catch((error) => log.debug('it stays', { error }));",
      "  this.#options.log.debug('it stays', { tenant_id, error });",
      "await Promise.allSettled(pages.map(remove));",
      'socket.on("error", () => {});',
      "try { read(); } catch {}",
    ]
  ) {
    assert.deepEqual(linesOf(`const at = 1;\nfirst();\n${swallows}\n`), [3], swallows);
    assert.deepEqual(linesOf(`// Why.\n\n\n${swallows}\n`), [4], swallows);
    assert.deepEqual(linesOf(`/** Never rejects. */\nfunction close() {\n${swallows}\n}`), [3]);
    if (swallows.startsWith("try")) continue;
    assert.deepEqual(linesOf(`// The next one tells.\n${swallows}\n`), []);
    assert.deepEqual(linesOf(`${swallows} // The next one tells.\n`), []);
  }
});

Deno.test("silence: a reported failure, or a result that is not a failure, needs no reason", () => {
  assert.deepEqual(linesOf("read().catch((error) => log.warn('not read', { error }));\n"), []);
  assert.deepEqual(linesOf("read().catch((error) => ({ problem: error }));\n"), []);
  assert.deepEqual(linesOf("log.debug('a connection ended', { connection_id });\n"), []);
  assert.deepEqual(linesOf("const all = await Promise.allSettled(pages.map(remove));\n"), []);
  assert.deepEqual(linesOf("const url = 'http://a';\nread().catch(() => {});\n"), [2]);
  assert.deepEqual(linesOf("// Why.\ntry { read(); }\ncatch {}\n"), [3]);
  assert.deepEqual(linesOf("try { read(); } catch {\n  // It is gone.\n}\n"), []);
});

Deno.test("silence: Python's SDK, too; tests may swallow", () => {
  const text = "try:\n    read()\nexcept OSError:\n    pass\nwith contextlib.suppress(OSError):\n";
  const path = "sdk/python/src/arqon/a.py";
  assert.deepEqual(linesOf(text, path), [3, 5]);
  assert.deepEqual(linesOf(text.replace("    pass", "    # Why.\n    pass\n# Why."), path), []);
  assert.deepEqual(linesOf(text, "sdk/python/tests/a.py"), []);
  assert.deepEqual(linesOf("read().catch(() => {});\n", "shield/a_test.ts"), []);
});
