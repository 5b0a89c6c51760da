/** A file that fails every other time is run so often, is counted, and its failed tests are named. */
import assert from "node:assert/strict";
import { ROOT } from "../checkout/source_files.ts";
import { flakyRow } from "./test_flaky.ts";

/** Fails whenever its mark is there, and makes or removes that. */
const flaky = (mark: string) => `
Deno.test("turns > and falls", async (t) => {
  const is_there = await Deno.stat(${JSON.stringify(mark)}).then(() => true, () => false);
  if (is_there) await Deno.remove(${JSON.stringify(mark)});
  else await Deno.writeTextFile(${JSON.stringify(mark)}, "");
  await t.step("a step", () => {
    if (is_there) throw new Error("it was there");
  });
});
Deno.test("stands", () => {});
`;

async function testFlaky(...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `${ROOT}tasks/test/test_flaky.ts`, ...args],
    env: { NO_COLOR: "1" },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("a flaky file has its rate, its tests and what they said; the task then exits with 1", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const [bad, good] = [`${folder}/bad_test.ts`, `${folder}/good_test.ts`];
    await Deno.writeTextFile(bad, flaky(`${folder}/mark`));
    await Deno.writeTextFile(good, 'Deno.test("stands", () => {});\n');
    const failing = await testFlaky("--times", "4", "--load", bad, good);
    assert.equal(failing.code, 1, failing.stderr);
    assert.match(failing.stdout, /it was there/);
    const table = failing.stdout.slice(failing.stdout.lastIndexOf("  runs "));
    assert.match(
      table,
      / 4 +2 +50 % +\d+\.\d s +\S*bad_test\.ts\n +2 x turns > and falls > a step\n/,
    );
    assert.match(table, / 4 +0 +0 % +\d+\.\d s +\S*good_test\.ts\n$/);
    assert.equal((await testFlaky("--times", "1", good)).code, 0);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("arguments that say nothing to do are refused", async () => {
  const wrong = [[], ["--times", "0", "a"], ["--times", "x", "a"], ["no_such_test.ts"], [
    "--often",
  ]];
  for (const args of wrong) {
    const { code, stderr } = await testFlaky(...args);
    assert.equal(code, 2, stderr);
    assert.match(stderr, /usage: deno task test:flaky/);
  }
});

Deno.test("the most frequent failure comes first, and one without a test is told as such", () => {
  const run = (seconds: number, ...failed: string[]) => ({ seconds, is_failed: true, failed });
  const good = { seconds: 2, is_failed: false, failed: [] };
  assert.equal(
    flakyRow("a_test.ts", [run(1, "one"), run(1.25, "two", "one"), run(0), good]),
    "     4       3   75 %    2.0 s  a_test.ts\n" +
      "             2 x one\n" +
      "             1 x two\n" +
      "             1 x no test: the file does not load, or its process ended",
  );
});
