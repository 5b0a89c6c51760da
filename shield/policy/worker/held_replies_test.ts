/** The replies for which the process is woken. Pure. */
import assert from "node:assert/strict";
import { HeldReplies } from "./worker.ts";

const SHORT_MS = 0.01;

function open() {
  let signals = 0;
  const held = new HeldReplies(() => signals++);
  /** A chain of the tenant in the worker; returns the wake-ups of the process before it ran. */
  const run = (tenant_id: string, now_ms = 0, work_ms = SHORT_MS) => {
    const before = signals;
    held.before(tenant_id, now_ms);
    held.put(tenant_id, work_ms, now_ms);
    return signals - before;
  };
  const trust = (tenant_id: string) => {
    for (let count = 0; count < 64; count++) run(tenant_id);
    held.tell();
  };
  return { held, run, trust, signals: () => signals };
}

Deno.test("no reply waits for a chain of a tenant whose chains are unknown", () => {
  const { run, trust } = open();
  assert.deepEqual([run("a"), run("a"), run("a")], [0, 1, 1]);
  trust("a");
  assert.deepEqual([run("a"), run("a"), run("b"), run("a")], [0, 0, 1, 0]);
});

Deno.test("a long chain makes its tenant unknown again", () => {
  const { run, trust } = open();
  trust("a");
  trust("b");
  assert.deepEqual([run("a"), run("b", 0, 5), run("a"), run("b"), run("b")], [0, 0, 0, 1, 1]);
});

Deno.test("a reply waits for at most 63 others and at most a quarter of a ms", () => {
  const { run, trust, signals } = open();
  trust("a");
  const before = signals();
  for (let count = 0; count < 64; count++) run("a");
  assert.equal(signals(), before);
  assert.equal(run("a"), 1);
  assert.equal(run("a", 0.24), 0);
  assert.equal(run("a", 0.25), 1);
});

Deno.test("held replies are signalled once, and without any there is no signal", () => {
  const { held, run, signals } = open();
  held.tell();
  assert.equal(signals(), 0);
  run("a");
  held.tell();
  held.tell();
  assert.equal(signals(), 1);
});
