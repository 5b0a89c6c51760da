/**
 * Tests of the totals of `.ci/run`: the real script in a separate folder, with an `npx` that answers as each case says.
 * CI itself shows that the real commands work.
 */
import assert from "node:assert/strict";
import { temporaryFolder } from "../shared/testing/temporary_folder.ts";
import { ROOT } from "./checkout/source_files.ts";

interface Answers {
  readonly ok?: string;
  readonly verify?: string;
  readonly test?: string;
  readonly readme?: string;
  readonly cluster?: string;
  readonly external?: string;
  readonly install?: string;
  readonly policies?: string;
}

const PASSES = "exit 0";

/** Runs the script; each answer is a line of shell that replaces the command. */
async function runScript(answers: Answers, with_data = false): Promise<[number, string[]]> {
  await using folder = await temporaryFolder();
  for (const name of ["main/.ci", "bin"]) {
    await Deno.mkdir(`${folder.path}/${name}`, { recursive: true });
  }
  if (with_data) await Deno.mkdir(`${folder.path}/shared/data`, { recursive: true });
  await Deno.copyFile(`${ROOT}.ci/run`, `${folder.path}/main/.ci/run`);
  const npx = `#!/bin/sh
case "$*" in
*" install "*) ${answers.install ?? PASSES} ;;
*" task ok") ${answers.ok ?? PASSES} ;;
*" task verify") ${answers.verify ?? PASSES} ;;
*" task policies --check --strict") ${answers.policies ?? PASSES} ;;
*" task -q readme --test-command") echo 'npx -y deno task test' ;;
*" task readme --without-tests") ${answers.readme ?? "echo '0 passed, 0 failed'"} ;;
"-y deno task test") ${answers.test ?? "echo '5 passed, 0 failed'"} ;;
*" task test:cluster") ${answers.cluster ?? "echo '0 passed, 0 failed'"} ;;
*" task test:all --slice "*/19) echo '0 passed, 0 failed' ;;
*" task test:external ../shared/data") ${answers.external ?? "echo '2 passed, 0 failed'"} ;;
*) echo "unexpected: $*"; exit 9 ;;
esac
`;
  await Deno.writeTextFile(`${folder.path}/bin/npx`, npx, { mode: 0o755 });
  // The time of the commit.
  await Deno.writeTextFile(`${folder.path}/bin/git`, "#!/bin/sh\necho 1795161268\n", {
    mode: 0o755,
  });
  // A test does not install programs that this machine lacks.
  await Deno.writeTextFile(`${folder.path}/bin/apt-get`, "#!/bin/sh\nexit 0\n", { mode: 0o755 });
  const { code, stdout } = await new Deno.Command("bash", {
    args: [`${folder.path}/main/.ci/run`],
    env: { PATH: `${folder.path}/bin:/usr/bin:/bin`, TMPDIR: folder.path },
    clearEnv: true,
  }).output();
  return [code, new TextDecoder().decode(stdout).trimEnd().split("\n")];
}

async function total(answers: Answers, with_data = false): Promise<string> {
  const [code, lines] = await runScript(answers, with_data);
  return `${code}: ${lines.at(-1)}`;
}

Deno.test("CI adds up the test runs when all pass", async () => {
  assert.equal(await total({}), "0: 5 passed, 0 failed");
  assert.equal(await total({}, true), "0: 7 passed, 0 failed");
  assert.equal(
    await total({ cluster: "echo '3 passed, 1 failed'; exit 1" }),
    "1: 8 passed, 1 failed",
  );
});

Deno.test("CI counts failed tests and continues with the next run", async () => {
  const test = "echo '3 passed, 2 failed'; exit 1";
  assert.equal(await total({ test }, true), "1: 5 passed, 2 failed");
});

Deno.test("CI counts the failed steps of a gate and still runs the tests", async () => {
  const ok = "echo 'ok: FAILED 2 of 7 steps in 1.0 s: format, lint'; exit 1";
  const verify = "echo 'verify: FAILED 1 of 5 steps in 1.0 s: documents'; exit 1";
  assert.equal(await total({ ok, verify }), "1: 5 passed, 3 failed");
});

Deno.test("CI counts policies that differ from their sources' build", async () => {
  assert.equal(await total({ policies: "exit 1" }), "1: 5 passed, 1 failed");
});

Deno.test("CI counts one failure for a command that ends without a verdict", async () => {
  assert.equal(await total({ ok: "exit 137" }), "1: 5 passed, 1 failed");
  assert.equal(await total({ test: "echo boom; exit 1" }), "1: 0 passed, 1 failed");
  assert.equal(await total({ test: "exit 0" }), "1: 0 passed, 1 failed");
  assert.equal(await total({ test: "echo '5 passed, 0 failed'; exit 1" }), "1: 5 passed, 1 failed");
});

Deno.test("CI repeats the failures right before its totals, without the tests that passed", async () => {
  const test =
    String.raw`printf 'a test ... ok\n\033[1m ERRORS \033[0m\n\nb test => ./b_test.ts:3\n` +
    String
      .raw`error: 1 is not 2\n\n FAILURES \n\nb test => ./b_test.ts:3\n\nFAILED | 1 passed | 1 failed\n` +
    String.raw`\n1 passed, 1 failed\n'; exit 1`;
  const ok = String.raw`printf 'FAIL  lint  1 s\n      line 3: no-var\nok    types  2 s\n` +
    String.raw`ok: FAILED 1 of 2 steps in 3 s: lint\n'; exit 1`;
  const [code, lines] = await runScript({ ok, test });
  assert.equal(code, 1);
  const end = lines.slice(lines.indexOf("== what failed"));
  for (const line of ["      line 3: no-var", "error: 1 is not 2", "-- deno task ok"]) {
    assert.equal(end.filter((given) => given === line).length, 1, line);
  }
  assert.ok(!end.includes("a test ... ok"));
  assert.equal(lines.at(-1), "1 passed, 2 failed");
  const [, passing] = await runScript({});
  assert.ok(!passing.includes("== what failed"));
});

Deno.test("CI prints the time of each part, also of a failed one", async () => {
  const [, lines] = await runScript({ verify: "exit 1" });
  const times = lines.slice(lines.indexOf("== seconds") + 1);
  const parts = times.map((line) => /^ *\d+ {2}npx -y (?:deno@\S+|deno) (.*)$/.exec(line)?.[1]);
  assert.deepEqual(parts.flatMap((part) => part?.replace(/ \d+\/19$/, "") ?? []), [
    "install --frozen",
    "task ok",
    "task verify",
    "task policies --check --strict",
    "task test",
    "task readme --without-tests",
    "task test:cluster",
    "task test:all --slice",
  ]);
});

Deno.test("CI tries to install three times, then reports the failure", async () => {
  const [code, lines] = await runScript({ install: "exit 1" });
  assert.equal(code, 1);
  assert.equal(lines.filter((line) => /^attempt \d of 3 failed$/.test(line)).length, 3);
  assert.equal(lines.at(-1), "0 passed, 1 failed");
});

Deno.test("the total is alone on the last line, after the output of the runs", async () => {
  const [, lines] = await runScript({
    test: "printf 'no newline'; printf '\\n1 passed, 0 failed'",
  });
  assert.equal(lines.at(-1), "1 passed, 0 failed");
});
