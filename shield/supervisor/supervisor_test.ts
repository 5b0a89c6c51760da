/** Processes that die, hang or cannot start, under a supervisor: small real programs. */
import assert from "node:assert/strict";
import { keptLog } from "../../shared/testing/logs.ts";
import { Registry } from "../../shared/metrics/metrics.ts";
import { until } from "../../shared/testing/until.ts";
import { readProcesses, supervise, type Supervisor } from "./supervisor.ts";
import { BACKOFF, failuresAfter, pauseAfter } from "./slot.ts";

const SERVES = `echo '{"ops_port":1,"admin_port":2}'`;
/** A script that serves, runs `on_term` at SIGTERM, and ends with its stdin. */
const serving = (on_term: string) => `trap '${on_term}' TERM; ${SERVES}; read line`;
const STAYS = serving("exit 0");

interface Running {
  readonly supervisor: Supervisor;
  readonly registry: Registry;
  readonly log: () => string;
}

/** Each start runs the next script; after the last script it runs that one again. */
function run(scripts: readonly string[], processes = 1, drain_timeout_ms = 60_000): Running {
  const { log, lines } = keptLog({ level: "info" });
  const registry = new Registry();
  const starts = new Map<number, number>();
  const supervisor = supervise({
    processes,
    node_id: "edge",
    port: 4000,
    drain_timeout_ms,
    now: () => performance.now(),
    registry,
    backoff: { first_ms: 5, max_ms: 20, reset_ms: 60_000 },
    // No jitter: half of a pause is random.
    random: () => 1 - 2 ** -20,
    log,
    spawn({ index }) {
      const start = starts.get(index) ?? 0;
      starts.set(index, start + 1);
      const script = scripts[Math.min(start, scripts.length - 1)] ?? "";
      if (script === "") throw new Error("no such program");
      return new Deno.Command("bash", {
        args: ["-c", script],
        stdin: "piped",
        stdout: "piped",
        stderr: "null",
      }).spawn();
    },
  });
  supervisor.start();
  return { supervisor, registry, log: () => lines.join("") };
}

Deno.test("the number of processes is checked", () => {
  assert.deepEqual(["1", "64"].map(readProcesses), [1, 64]);
  for (const text of ["", "0", "-1", "65", "1.5", "1e1", "9".repeat(400)]) {
    assert.throws(() => readProcesses(text), /expected a number from 1 to 64/);
  }
});

Deno.test("all processes serve and stop together, and the stop succeeds", async () => {
  const running = run([STAYS], 3);
  const { supervisor, registry } = running;
  await supervisor.ready;
  assert.deepEqual(supervisor.slots.map(({ node_id }) => node_id), ["edge-0", "edge-1", "edge-2"]);
  assert.deepEqual(supervisor.slots[0]?.ports, { ops_port: 1, admin_port: 2 });
  assert.match(await registry.metrics(), /^shield_process_serving\{index="2"\} 1$/m);
  assert.equal(await supervisor.stop(), true);
  assert.deepEqual(supervisor.slots.map(({ state }) => state), ["ended", "ended", "ended"]);
  assert.match(await registry.metrics(), /^shield_process_serving\{index="2"\} 0$/m);
});

Deno.test("a process that dies or cannot start is restarted", async () => {
  const running = run([`${SERVES}; exit 3`, "", "exit 1", STAYS]);
  const { supervisor, registry, log } = running;
  const [slot] = supervisor.slots;
  assert(slot !== undefined);
  await until(log, () => slot.restarts === 3 && slot.state === "serving");
  assert.match(log(), /process=0 child_node_id=edge-0 pid=\d+ code=3 .*msg="a process has ended"/);
  assert.match(log(), /no such program/);
  assert.match(log(), /pause_ms=5 [^]*pause_ms=10 [^]*pause_ms=20 /);
  assert.match(await registry.metrics(), /^shield_process_restarts_total\{index="0"\} 3$/m);
  assert.equal(await supervisor.stop(), true);
});

Deno.test("a process that reports a wrong configuration is not restarted", async () => {
  const { supervisor } = run(["exit 2"]);
  await supervisor.hopeless;
  assert.equal(supervisor.slots[0]?.restarts, 0);
  assert.equal(await supervisor.stop(), true);
});

Deno.test("a process that fails to drain makes the stop fail", async () => {
  const { supervisor } = run([serving("exit 1")]);
  await supervisor.ready;
  assert.equal(await supervisor.stop(), false);
});

Deno.test("a process that does not end is killed, and a stop ends the wait for the next start", async () => {
  const stubborn = run([serving("")], 1, -5_000);
  await stubborn.supervisor.ready;
  assert.equal(await stubborn.supervisor.stop(), false);
  assert.match(stubborn.log(), /processes that did not end in time are killed/);
  const dead = run(["exit 1"]);
  await until(dead.log, () => (dead.supervisor.slots[0]?.restarts ?? 0) > 2);
  await dead.supervisor.stop();
  const restarts = dead.supervisor.slots[0]?.restarts;
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.equal(dead.supervisor.slots[0]?.restarts, restarts);
});

// Pauses before a dead process is started again.

Deno.test("pauses double from the first to the longest, stay there, and half of each is random", () => {
  const pauses = (random: number) =>
    [1, 2, 3, 4, 5, 6, 7, 8, 1_000].map((failures) => pauseAfter(failures, BACKOFF, () => random));
  assert.deepEqual(pauses(0), [125, 250, 500, 1_000, 2_000, 4_000, 7_500, 7_500, 7_500]);
  assert.deepEqual(pauses(0.5), [188, 375, 750, 1_500, 3_000, 6_000, 11_250, 11_250, 11_250]);
});

Deno.test("after a process has served long enough, the pauses start again; otherwise they do not", () => {
  assert.equal(failuresAfter(7, 0, BACKOFF), 8);
  assert.equal(failuresAfter(7, BACKOFF.reset_ms - 1, BACKOFF), 8);
  assert.equal(failuresAfter(7, BACKOFF.reset_ms, BACKOFF), 1);
});
