/** The watchdog for an operator: it kills a process whose event loop hangs, and no other one. */
import assert from "node:assert/strict";
import { StreamedCommand } from "../../tasks/checkout/streamed_command.ts";
import { pace } from "../testing/pace.ts";
import type { Hanging } from "./testing/hanging.ts";

const PROGRAM = new URL("testing/hanging.ts", import.meta.url).pathname;
/** Longer than any test takes. */
const FOR_EVER_MS = 600_000;

function start(hanging: Hanging, flags: readonly string[] = []) {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-prompt", "--allow-read", ...flags, PROGRAM],
      JSON.stringify(hanging),
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  // Its log is read at its end: a full pipe must delay nothing.
  const program = new StreamedCommand(child, ["stdout"]);
  return {
    child,
    /** Rejects if it ends before it reports. */
    says: (word: string) => program.until(word),
    /** Lets it end, and returns its exit code and log. */
    async end() {
      await child.stdin.close().catch(() => {});
      const [status, log] = await Promise.all([child.status, new Response(child.stderr).text()]);
      return { ...status, log };
    },
    [Symbol.asyncDispose]: async () => {
      await program.stop("SIGKILL");
      await Promise.allSettled([child.stderr.cancel(), child.stdin.close()]);
    },
  };
}

Deno.test("a process whose event loop hangs kills itself, and reports the step", async () => {
  await using hanging = start({ stall_ms: 200, hang_ms: FOR_EVER_MS });
  const { signal } = await hanging.child.status;
  assert.equal(signal, "SIGKILL");
  const { log } = await hanging.end();
  const { ts: _, stood_ms, ...line } = JSON.parse(log);
  assert.deepEqual(line, {
    level: "error",
    component: "shield",
    node_id: "one",
    step: "the journal",
    msg: "the event loop hangs: the process is killed, to be started again",
  });
  assert.ok(stood_ms >= 200);
});

Deno.test("a stalled reader of the log does not keep it alive", async () => {
  await using hanging = start({ stall_ms: 200, hang_ms: FOR_EVER_MS, log_bytes: 500_000 });
  assert.equal((await hanging.child.status).signal, "SIGKILL");
});

Deno.test("a process that was stopped as a whole, or whose machine slept, is not killed", async () => {
  await using hanging = start({ stall_ms: 2_000 });
  await hanging.says("ready");
  hanging.child.kill("SIGSTOP");
  await pace(3_000);
  hanging.child.kill("SIGCONT");
  await hanging.says("alive");
  await pace(500);
  const { code, log } = await hanging.end();
  assert.deepEqual([code, log], [0, ""]);
});

Deno.test("a start may take ten times as long", async () => {
  await using hanging = start({ stall_ms: 1_000, hang_ms: 3_000, while_starting: true });
  await hanging.says("alive");
  assert.equal((await hanging.end()).code, 0);
});

Deno.test("a process with a debugger is not watched", async () => {
  await using inspected = start({ stall_ms: 50, hang_ms: 1_500 }, ["--inspect=127.0.0.1:0"]);
  await inspected.says("alive");
  const { code, log } = await inspected.end();
  assert.equal(code, 0);
  assert.match(log, /a debugger may pause the process: no watchdog/);
});
