/**
 * Each test file belongs to exactly one task, which depends on its sources, like the selection for systems without the
 * servers. Tests with external data name what is missing.
 */
import assert from "node:assert/strict";
import { LONGEST, LONGEST_CLUSTER, OTHER_TASKS, sliceOf, SLOW, sourceModules } from "./tiers.ts";
import { tiersOf } from "./tiers.ts";
import { readSlice } from "./test.ts";
import { portableTests } from "./test_portable.ts";
import { runDeno } from "../checkout/programs.ts";
import { dataFolder } from "./test_external.ts";
import { atEnd } from "../../shared/testing/at_end.ts";

const module = (path: string, text: string, ...imports: string[]) => ({ path, text, imports });

Deno.test("what a test starts, directly or by imports, decides its task", () => {
  const tiers = tiersOf([
    module("arq/pure_test.ts", "", "arq/pure.ts"),
    module("arq/pure.ts", "new Deno.Command('x')"),
    module("arq/spawns_test.ts", 'new Deno.Command("x")'),
    module("arq/threads_test.ts", "new Worker(url)"),
    module("arq/runs_test.ts", 'import { run } from "../tasks/checkout/programs.ts";'),
    module("arq/far_test.ts", "", "arq/testing/run.ts"),
    module("arq/testing/run.ts", "Deno.kill(1)"),
    module("shield/bus_test.ts", "", "tests/harness/bus.ts"),
    module("tests/harness/bus.ts", "new Deno.Command('deno')"),
    module("shield/log_test.ts", "await startNats()"),
    module("shield/quota_test.ts", 'new Deno.Command("x"); await startValkey()'),
    module("bench/load_test.ts", "await startNats()"),
    module("bench/sum_test.ts", ""),
    module("tests/bus_kill_test.ts", "await startNats()"),
    module("tests/bus_killed_test.ts", "", "tests/bus.ts"),
    module("tests/killers_test.ts", "await startNats()"),
    module("tests/pure_kill_test.ts", ""),
    module("tests/chaos/main.ts", "", "tests/chaos/run.ts"),
    module("tests/chaos/run.ts", "await startNats()"),
    module("tests/chaos/short_test.ts", "", "tests/chaos/run.ts"),
    module("tests/rows/run.ts", "await startNats()"),
    module("tests/rows/rows_test.ts", "", "tests/rows/run.ts"),
    module("tests/bus.ts", "await startNats()"),
    module("tests/site_test.ts", ""),
    module("tests/external/map_test.ts", ""),
  ]);
  assert.deepEqual(tiers, {
    test: ["arq/pure_test.ts", "tests/pure_kill_test.ts"],
    cluster: [
      ..."log quota".split(" ").map((name) => `shield/${name}_test.ts`),
      "tests/killers_test.ts",
      "tests/rows/rows_test.ts",
    ],
    all: [
      "tests/site_test.ts",
      ..."far runs spawns threads".split(" ").map((name) => `arq/${name}_test.ts`),
      "bench/load_test.ts",
      "bench/sum_test.ts",
      "shield/bus_test.ts",
      "tests/bus_kill_test.ts",
      "tests/bus_killed_test.ts",
      "tests/chaos/short_test.ts",
    ],
  });
});

Deno.test("each test file of this checkout is in one task, and most are in the quick one", async () => {
  const modules = await sourceModules();
  const { test, cluster, all } = tiersOf(modules);
  const there = modules.map(({ path }) => path).filter((path) => path.endsWith("_test.ts"));
  const others = there.filter((path) => OTHER_TASKS.some((one) => path.startsWith(one)));
  assert.deepEqual([...test, ...cluster, ...all, ...others].toSorted(), there.toSorted());
  assert.deepEqual(all.slice(0, SLOW.length), SLOW);
  assert.deepEqual(LONGEST.flat().filter((path) => !test.includes(path)), []);
  assert.deepEqual(LONGEST_CLUSTER.flat().filter((path) => !cluster.includes(path)), []);
  assert.ok(test.length > there.length / 2);
  assert.deepEqual(SLOW.filter((path) => !there.includes(path)), []);
});

Deno.test("slices contain each file once, and the slow files are distributed over them", () => {
  const files = [...SLOW, ...Array.from({ length: 50 }, (_, at) => `x/${at}_test.ts`)];
  const slices = Array.from({ length: 20 }, (_, at) => sliceOf(files, at, 20));
  assert.deepEqual(slices.flat().toSorted(), files.toSorted());
  for (const slice of slices) {
    assert.ok(slice.filter((path) => SLOW.includes(path)).length <= Math.ceil(SLOW.length / 20));
  }
  assert.deepEqual(readSlice("3/20"), [3, 20]);
  for (const wrong of ["", "3", "0/20", "21/20", "x/y"]) assert.equal(readSlice(wrong), undefined);
});

Deno.test("a test that starts a process, directly or by imports, is left out", () => {
  const chosen = portableTests([
    module("arq/pure_test.ts", "", "arq/pure.ts"),
    module("arq/pure.ts", "new Deno.Command('x')"),
    module("arq/spawns_test.ts", 'new Deno.Command("x")'),
    module("arq/far_test.ts", "", "arq/testing/run.ts"),
    module("arq/testing/run.ts", "new URL('.', import.meta.url).pathname"),
    module("proto/bus_test.ts", "", "tests/harness/bus.ts"),
    module("tests/harness/bus.ts", ""),
    module("shield/pure_test.ts", ""),
    module("proto/round_test.ts", "", "proto/a.ts"),
    module("proto/a.ts", "", "proto/b.ts"),
    module("proto/b.ts", "", "proto/a.ts"),
  ]);
  assert.deepEqual(chosen, ["arq/pure_test.ts", "proto/round_test.ts"]);
});

Deno.test("the portable tests of this checkout include the whole protocol and much of the SDK", async () => {
  const modules = await sourceModules();
  const chosen = portableTests(modules);
  const of = (folder: string) => chosen.filter((path) => path.startsWith(folder)).length;
  const all = modules.filter(({ path }) => /^proto\/.*_test\.ts$/.test(path)).length;
  assert.equal(of("proto/"), all);
  for (const folder of ["shared/config/", "shared/presence/", "sdk/typescript/", "arq/"]) {
    assert(of(folder) >= 5, `${folder}: ${of(folder)}`);
  }
  assert(!chosen.includes("arq/main_test.ts"));
});

Deno.test("a relative data folder is relative to the caller's folder", () => {
  assert.equal(dataFolder("../data", "/work/main"), "/work/data");
  assert.equal(dataFolder("/data", "/work/main"), "/data");
});

Deno.test("without the data the task fails, counts the failure, and names the remedy", async () => {
  const folder = await Deno.makeTempDir();
  await using _end = atEnd(() => Deno.remove(folder));
  for (const args of [[], [folder]]) {
    const { code, stdout, stderr } = await runDeno(["task", "--quiet", "test:external", ...args]);
    assert.equal(code, 2);
    assert.equal(stdout, "0 passed, 1 failed\n");
    assert.match(stderr, /usage: deno task test:external DIR/);
  }
});
