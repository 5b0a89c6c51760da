/**
 * Long-running tasks that receive SIGINT or SIGTERM alone, as real processes: each is started small, as in deno.json,
 * and ended while its own processes run. Nothing is left of it.
 */
import assert from "node:assert/strict";
import { until } from "../../shared/testing/until.ts";
import { StreamedCommand } from "../../tasks/checkout/streamed_command.ts";
import { processesBelow, stillRunning } from "./end_on_signal.ts";

const ROOT = decodeURIComponent(new URL("../..", import.meta.url).pathname);
const WAIT_MS = 120_000;

/** A task, and when it receives the signal. */
interface Case {
  readonly task: string;
  readonly args: readonly string[];
  /** When this many processes run below it. */
  readonly processes: number;
  /** When it has printed this. */
  readonly prints?: RegExp;
}

/** Of a Shield with two processes: NATS, the supervisor, two Shields, three client processes. */
const LOAD: Case = {
  task: "load",
  args: ["--connections", "40", "--processes", "2", "--idle-minutes", "10"],
  processes: 7,
  prints: /41 connections after/,
};

const CASES: readonly Case[] = [
  { task: "soak", args: ["--connections", "40", "--rate", "20", "--minutes", "5"], processes: 3 },
  { task: "chaos", args: ["--nats", "3", "--focus", "durable", "--rooms", "2"], processes: 7 },
  { task: "fuzz", args: ["--runs", "1000000000"], processes: 1 },
  // A process of the benchmark's own that has started others.
  { task: "bench", args: ["storm"], processes: 3 },
];

/** The command of a task in deno.json, without `deno`. */
async function commandOf(task: string): Promise<string[]> {
  const { tasks } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  return String(tasks[task]).split(" ").slice(1);
}

/** Ids of processes whose environment has the mark, whoever is now their parent. */
async function marked(mark: string): Promise<number[]> {
  const find = Deno.build.os === "linux"
    ? `grep -la ${mark} /proc/[0-9]*/environ 2>/dev/null | sed 's/[^0-9]//g'`
    : `ps axeww -o pid=,command= | grep ${mark} | grep -v grep | sed 's/^ *\\([0-9]*\\) .*/\\1/'`;
  const { stdout } = await new Deno.Command("sh", { args: ["-c", find] }).output();
  const pids = new TextDecoder().decode(stdout).trim().split("\n").filter((line) => line !== "");
  // A process that the kernel has not cleared away yet has ended.
  return stillRunning(pids.map(Number));
}

async function endsAll(one: Case, signal: "SIGINT" | "SIGTERM"): Promise<void> {
  const dir = await Deno.makeTempDir({ dir: "/tmp", prefix: "arqon-signal-" });
  const mark = `arqon-signal-${crypto.randomUUID()}`;
  const out = one.task === "bench" ? ["--out", `${dir}/bench.json`] : [];
  const task = StreamedCommand.start(
    [Deno.execPath(), ...await commandOf(one.task), ...one.args, ...out],
    // Killed processes leave their files behind, here.
    { cwd: ROOT, env: { TMPDIR: dir, ARQON_MARK: mark } },
  );
  const { child } = task;
  try {
    let below: number[] = [];
    await until(() => `${below.length} processes; it said:\n${task.text}`, () => {
      below = processesBelow(child.pid);
      return below.length >= one.processes && (one.prints?.test(task.text) ?? true);
    }, WAIT_MS);
    Deno.kill(child.pid, signal);
    const { code, signal: died_of } = await child.status;
    assert.deepEqual([code, died_of], [signal === "SIGINT" ? 130 : 143, null], task.text);
    assert.deepEqual(stillRunning(below), []);
    assert.deepEqual(await marked(mark), [], "whoever started them");
  } finally {
    for (const pid of await marked(mark)) Deno.kill(pid, "SIGKILL");
    await Promise.all([child.status, task.ended]);
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("deno task load, sent SIGINT alone, ends its server and client processes, and with 130", () =>
  endsAll(LOAD, "SIGINT"));

Deno.test("deno task load, sent SIGTERM alone, ends its server and client processes, and with 143", () =>
  endsAll(LOAD, "SIGTERM"));

for (const one of CASES) {
  Deno.test(`deno task ${one.task}, sent SIGINT alone, ends all that it has started`, () =>
    endsAll(one, "SIGINT"));
}
