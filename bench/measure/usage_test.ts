/** CPU time and memory from `/proc`. */
import assert from "node:assert/strict";
import {
  cpuSecondsBetween,
  readStat,
  threadSecondsBetween,
  usagesOf,
  withDescendants,
} from "./usage.ts";

Deno.test("a line of /proc is read after a name with any content", () => {
  const line = "42 (a) b (x) S 7 42 42 0 -1 4194560 1 2 3 4 50 25 6 7 20 0 11 0 100 1 1";
  assert.deepEqual(readStat(line), { pid: 42, parent: 7, cpu_ticks: 75 });
  assert.equal(readStat("no process"), undefined);
  assert.equal(readStat(""), undefined);
});

Deno.test("children and their descendants belong to a process, other processes do not", () => {
  const stats = [[1, 0], [5, 1], [9, 5], [7, 9], [8, 1]].map(([pid, parent]) => ({
    pid: pid!,
    parent: parent!,
    cpu_ticks: 1,
  }));
  assert.deepEqual(withDescendants(stats, [5]).map(({ pid }) => pid), [5, 9, 7]);
  assert.deepEqual(withDescendants(stats, [5, 9]).map(({ pid }) => pid), [5, 9, 7]);
});

Deno.test("a working process uses more CPU time, and an ended process is named", async () => {
  const read = async () => (await usagesOf([[Deno.pid]]))[0]!;
  const before = await read();
  const deadline_ms = performance.now() + 30_000;
  let after = before;
  while (after.cpu_seconds <= before.cpu_seconds && performance.now() < deadline_ms) {
    for (let sum = 0, count = 0; count < 5e7; count++) sum += count;
    after = await read();
  }
  assert.ok(after.cpu_seconds > before.cpu_seconds);
  assert.ok(cpuSecondsBetween(before, after) > 0);
  const by_name = threadSecondsBetween(before, after);
  assert.ok(by_name.has(after.thread_names.get(Deno.pid)!));
  assert.ok([...by_name].some(([name, seconds]) => name !== "" && seconds > 0));
  assert.ok(after.rss_bytes > 10e6);
  const child = new Deno.Command("true").spawn();
  await child.status;
  await assert.rejects(usagesOf([[child.pid]]), /not there any more/);
});

Deno.test("new threads count from zero, ended threads do not count", () => {
  const usage = (threads: [number, number][]) => ({
    thread_names: new Map([[1, "main"], [2, "gone"], [3, "main"]]),
    cpu_seconds: 0,
    rss_bytes: 0,
    at_ms: 0,
    threads_ns: new Map(threads),
  });
  const [before, after] = [usage([[1, 2e9], [2, 5e9]]), usage([[1, 3e9], [3, 4e9]])];
  assert.equal(cpuSecondsBetween(before, after), 5);
  assert.deepEqual([...threadSecondsBetween(before, after)], [["main", 5]]);
});
