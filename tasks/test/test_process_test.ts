/**
 * Silent programs, killed programs, and programs that leave child processes come to an end, and the output names the
 * reason; the totals of pytest are read from its last line.
 */
import assert from "node:assert/strict";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";
import { type Followed, followTests } from "./test_process.ts";
import { pytestTotals } from "./test_python.ts";

/** Follows a program, and returns its end and its whole output. */
async function follow(
  command: readonly string[],
  silence_ms: number,
  end_ms = 300,
): Promise<Followed & { printed: string }> {
  let printed = "";
  const followed = await followTests(
    { name: "the run", command, stderr: "piped" },
    (text) => printed += text,
    { silence_ms, end_ms },
  );
  return { ...followed, printed };
}

const LONG_MS = 600_000;

Deno.test("the output keeps stdout and shows both streams", async () => {
  const ran = await follow(["sh", "-c", "echo one; echo two >&2; exit 3"], LONG_MS);
  assert.equal(ran.success, false);
  assert.equal(ran.output, "one\n");
  assert.match(ran.printed, /one\n/);
  assert.match(ran.printed, /two\n/);
  assert.doesNotMatch(ran.printed, /FAIL/);
});

Deno.test("a silent run of deno test names the test that does not end", async () => {
  await using folder = await temporaryFolder();
  const file = `${folder.path}/stuck_test.ts`;
  await Deno.writeTextFile(
    file,
    `Deno.test("waits for ever", () => {
      Deno.stderr.writeSync(new TextEncoder().encode("begun"));
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });`,
  );
  const command = [Deno.execPath(), "test", "--parallel", "--no-check", "--no-config", file];
  // On a machine of any speed, the run is silent for long only after the test has started.
  const { success, printed } = await follow(command, 20_000, 60_000);
  assert.equal(success, false);
  assert.match(printed, /FAIL {2}the run has said nothing for 20 s/);
  assert.match(printed, /waits for ever/);
});

Deno.test("a program that does not end by SIGINT is killed", async () => {
  const ran = await follow(["sh", "-c", "trap '' INT; while :; do sleep 0.1; done"], 300);
  assert.equal(ran.success, false);
  assert.match(ran.printed, /did not end by SIGINT/);
  assert.match(ran.printed, /was ended by SIGKILL/);
});

Deno.test("a process that is left behind does not block the run", async () => {
  const ran = await follow(["sh", "-c", "sleep 60 & echo $!"], LONG_MS);
  assert.equal(ran.success, true);
  assert.match(ran.printed, /has left processes behind/);
  Deno.kill(Number(ran.output), "SIGKILL");
});

Deno.test("output after a program's end does not start another wait", async () => {
  // The test runner reports a wait that outlives this test as a leaked timer.
  const ran = await follow(["sh", "-c", "(sleep 0.2; echo late) &"], LONG_MS, LONG_MS);
  assert.equal(ran.success, true);
  assert.equal(ran.output, "late\n");
});

Deno.test("totals of a pytest run are read from its last line", () => {
  const table: [string, { passed: number; failed: number } | undefined][] = [
    ["....\n76 passed in 28.10s\n", { passed: 76, failed: 0 }],
    ["1 failed, 75 passed, 2 warnings in 3.00s (0:00:03)\n", { passed: 75, failed: 1 }],
    ["3 failed, 1 passed, 2 errors in 1.0s", { passed: 1, failed: 5 }],
    ["1 error in 0.10s", { passed: 0, failed: 1 }],
    ["ImportError: boom", undefined],
  ];
  for (const [output, totals] of table) assert.deepEqual(pytestTotals(output), totals, output);
});
