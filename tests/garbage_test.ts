/**
 * The garbage of a message is short-lived, also under a steady load: objects that V8 moves to the old generation wait
 * for a full collection, which delays everything. Measured in bytes by V8's own trace, independent of the speed of the
 * machine.
 */
import assert from "node:assert/strict";
import { SERVER_FLAGS } from "../shared/process/deno_command.ts";
import { runDeno } from "../tasks/checkout/programs.ts";
import type { GarbagePlan } from "./garbage_child.ts";
import { startNats } from "./harness/nats_server.ts";

const CHILD = new URL("./garbage_child.ts", import.meta.url).pathname;
/** A Shield's own flags, and the trace. */
const FLAGS = SERVER_FLAGS.map((flag) => flag.replace("--v8-flags=", "--v8-flags=--trace-gc-nvp,"));
const PERMISSIONS = ["--allow-net", "--allow-read", "--allow-env"];
const MESSAGES = 60_000;
const UNDER_WAY = 10;
/** A share of the allocated bytes; objects in flight at a collection are sometimes moved, too. */
const OLD_SHARE_MAX = 0.02;
const EVENT = /^\[\d+:(0x[0-9a-f]+):\d+\]\s+\d+ ms: GC: .*?"gc":"s".*$/;

function bytesOf(line: string, name: string): number {
  return Number(new RegExp(`"${name}":(\\d+)`).exec(line)?.[1] ?? NaN);
}

/** The bytes that the busiest thread allocated, and moved to the old generation, once it was warm. */
async function traceOf(plan: GarbagePlan): Promise<{ allocated: number; promoted: number }> {
  const args = ["run", ...FLAGS, ...PERMISSIONS, CHILD, JSON.stringify(plan)];
  const { ok, stdout, stderr } = await runDeno(args);
  const [, measured] = stdout.split("measured");
  assert.ok(ok && measured !== undefined, stderr);
  const threads = new Map<string, { allocated: number; promoted: number }>();
  for (const line of measured.split("\n")) {
    const thread = EVENT.exec(line)?.[1];
    if (thread === undefined) continue;
    const sums = threads.get(thread) ?? { allocated: 0, promoted: 0 };
    sums.allocated += bytesOf(line, "allocated");
    sums.promoted += bytesOf(line, "promoted");
    threads.set(thread, sums);
  }
  const busiest = [...threads.values()].sort((a, b) => b.allocated - a.allocated)[0];
  assert.ok(busiest !== undefined, "no collection at all: the trace is not what it was");
  return busiest;
}

function assertYoung({ allocated, promoted }: { allocated: number; promoted: number }): void {
  assert.ok(allocated > 20_000_000, `only ${allocated} bytes were allocated`);
  const share = promoted / allocated;
  assert.ok(share < OLD_SHARE_MAX, `${promoted} of ${allocated} bytes grew old`);
}

Deno.test("the garbage of a message through the policies is short-lived", async () => {
  assertYoung(await traceOf({ messages: MESSAGES, under_way: UNDER_WAY }));
});

Deno.test("bytes that wait for a flush to NATS are collected young", async () => {
  await using nats = await startNats({});
  const plan = { nats_url: nats.url, messages: MESSAGES, under_way: UNDER_WAY };
  assertYoung(await traceOf(plan));
});
