/** `arq room lock ROOM -- CMD` against a real bus: real programs, several at a time, locks that go. */
import assert from "node:assert/strict";
import { found } from "../../../shared/testing/until.ts";
import { startBus } from "../../../tests/harness/bus.ts";
import type { TestBus } from "../../../tests/harness/bus.ts";
import { runArq, startArq } from "../../testing/run_arq.ts";
import type { ArqProcess, ArqResult } from "../../testing/run_arq.ts";

const at = (bus: TestBus) => ["--url", bus.url];
const lockArgs = (bus: TestBus, options: string[], program: string[]) => [
  ...["room", "lock", "jobs", ...at(bus), ...options],
  ...["--", ...program],
];
const lock = (bus: TestBus, options: string[], ...program: string[]): Promise<ArqResult> =>
  runArq(lockArgs(bus, options, program));

/** Locks the room without a program; its fence. */
async function heldFence(bus: TestBus): Promise<string> {
  const { code, stdout, stderr } = await runArq(["room", "lock", "jobs", ...at(bus)]);
  assert.equal(code, 0, stderr);
  return stdout.trim();
}

async function unlock(bus: TestBus, fence: string): Promise<ArqResult> {
  return await runArq(["room", "unlock", "jobs", "--fence", fence, ...at(bus)]);
}

/** Nobody holds the lock any more: it can be had at once. */
async function isFree(bus: TestBus): Promise<boolean> {
  const { code } = await unlock(bus, await heldFence(bus));
  return code === 0;
}

const untilFile = (path: string): Promise<string> =>
  found(`a line in ${path}`, async () => {
    const text = await Deno.readTextFile(path).catch(() => "");
    return text.endsWith("\n") ? text.trim() : undefined;
  });

async function exits(bus: TestBus): Promise<void> {
  const said = await lock(
    bus,
    [],
    "sh",
    "-c",
    'echo "$ARQON_LOCK_ROOM $ARQON_LOCK_FENCE $1"',
    "-",
    "a  b",
  );
  assert.equal(said.code, 0, said.stderr);
  assert.match(said.stdout, /^jobs \d+ a {2}b\n$/);
  assert.equal(said.stderr, "");
  assert.equal((await lock(bus, [], "sh", "-c", "exit 41")).code, 41);
  assert.equal((await lock(bus, [], "sh", "-c", "kill -KILL $$")).code, 137);
  const missing = await lock(bus, [], "/nowhere/no-such-program");
  assert.equal(missing.code, 127);
  assert.match(missing.stderr, /no-such-program.*not found/);
  const wrong = await lock(bus, ["--fence", "7"], "true");
  assert.deepEqual([wrong.code, wrong.stdout], [2, ""]);
  assert.match(wrong.stderr, /--fence renews a lock that is held/);
  assert.ok(await isFree(bus), "each has unlocked");
}

async function streams(bus: TestBus): Promise<void> {
  const piped = await runArq(lockArgs(bus, [], ["cat"]), { stdin: "handed on\n" });
  assert.deepEqual([piped.code, piped.stdout], [0, "handed on\n"]);
  const folder = await Deno.makeTempDir();
  const here = await runArq(lockArgs(bus, [], ["pwd"]), { cwd: folder });
  assert.equal(here.stdout.trim(), await Deno.realPath(folder));
  await Deno.remove(folder, { recursive: true });
}

async function refusals(bus: TestBus): Promise<void> {
  const fence = await heldFence(bus);
  const ran = await Deno.makeTempFile();
  const now = await lock(bus, [], "sh", "-c", `echo ran > ${ran}`);
  assert.equal(now.code, 1);
  assert.match(now.stderr, /^arq: .*locked by dev \(409 locked\)/);
  const late = await lock(bus, ["--wait", "1"], "sh", "-c", `echo ran > ${ran}`);
  assert.equal(late.code, 1);
  assert.match(late.stderr, /^arq: jobs is locked; waiting\narq: .*\(409 locked\)/);
  assert.equal(await Deno.readTextFile(ran), "", "the program was never started");
  await Deno.remove(ran);
  const waiting = await startArq(lockArgs(bus, ["--wait", "5m"], ["echo", "mine"]));
  await waiting.says("waiting");
  assert.equal((await unlock(bus, fence)).code, 0);
  const { code, stdout } = await waiting.result();
  assert.deepEqual([code, stdout], [0, "mine\n"]);
}

/** Each program makes a folder, which only one can, stays a while and removes it. */
async function contenders(bus: TestBus): Promise<void> {
  const folder = await Deno.makeTempDir();
  const program =
    'mkdir busy || exit 9; echo "$ARQON_LOCK_FENCE" >> fences; sleep 0.3; rmdir busy || exit 9';
  const all = await Promise.all(
    Array.from(
      { length: 4 },
      () => runArq(lockArgs(bus, ["--wait", "5m"], ["sh", "-c", program]), { cwd: folder }),
    ),
  );
  assert.deepEqual(all.map(({ code }) => code), [0, 0, 0, 0], all.map((one) => one.stderr).join());
  const fences = (await Deno.readTextFile(`${folder}/fences`)).trim().split("\n").map(Number);
  assert.equal(new Set(fences).size, 4);
  assert.deepEqual(fences, fences.toSorted((one, other) => one - other), "each higher than before");
  await Deno.remove(folder, { recursive: true });
}

/** Starts a program that holds the lock for long; its fence. */
async function holding(
  bus: TestBus,
  options: string[],
  before = "",
): Promise<{ holder: ArqProcess; fence: string; [Symbol.asyncDispose](): Promise<void> }> {
  const file = await Deno.makeTempFile();
  const program = `${before} echo "$ARQON_LOCK_FENCE" > ${file}; while :; do sleep 0.1; done`;
  const holder = await startArq(lockArgs(bus, options, ["sh", "-c", program]));
  const fence = await untilFile(file);
  return { holder, fence, [Symbol.asyncDispose]: () => Deno.remove(file) };
}

async function losses(bus: TestBus): Promise<void> {
  await using first = await holding(bus, ["--ttl", "3"], "trap 'echo told; exit 3' TERM;");
  assert.equal((await unlock(bus, first.fence)).code, 0);
  const told = await first.holder.result();
  assert.deepEqual([told.code, told.stdout], [1, "told\n"]);
  assert.match(
    told.stderr,
    /^arq: the lock of jobs is lost; sh gets SIGTERM\narq: the lock of jobs /,
  );
  assert.match(told.stderr, /was lost while sh ran: .*\(409 fence-mismatch\)\n.*ARQON_LOCK_FENCE/);
  await using second = await holding(bus, ["--ttl", "3"], "trap '' TERM;");
  assert.equal((await unlock(bus, second.fence)).code, 0);
  const killed = await second.holder.result();
  assert.equal(killed.code, 1, "also one that does not listen ends");
}

/** The lease is much shorter than the program: it is renewed, and nobody else comes in between. */
async function renewals(bus: TestBus): Promise<void> {
  const file = await Deno.makeTempFile();
  const program = ["sh", "-c", `echo "$ARQON_LOCK_FENCE" > ${file}; sleep 5; echo done >> ${file}`];
  const long = await startArq(lockArgs(bus, ["--ttl", "2"], program));
  await untilFile(file);
  const other = await startArq(lockArgs(bus, ["--wait", "5m"], ["cat", file]));
  await other.says("waiting");
  const { code, stderr } = await long.result();
  assert.equal(code, 0, stderr);
  assert.match((await other.result()).stdout, /\ndone\n$/, "it came after the end");
  await Deno.remove(file);
}

async function stops(bus: TestBus): Promise<void> {
  for (const [signal, code] of [["SIGTERM", 5], ["SIGINT", 6]] as const) {
    const trap = "trap 'exit 5' TERM; trap 'exit 6' INT;";
    await using held = await holding(bus, ["--ttl", "5m"], trap);
    held.holder.child.kill(signal);
    const ended = await held.holder.result();
    assert.equal(ended.code, code, `${signal}: ${ended.stderr}`);
    assert.ok(await isFree(bus), "it is unlocked at once, not at the end of the lease");
  }
}

Deno.test("a program runs while the lock is held, alone, and tells how it ended", async (t) => {
  await using bus = await startBus();
  await t.step("its exit code and what it is told", () => exits(bus));
  await t.step("its streams and its folder are ours", () => streams(bus));
  await t.step("a lock that somebody else holds", () => refusals(bus));
  await t.step("of many there is one at a time", () => contenders(bus));
  await t.step("a lease shorter than the program is renewed", () => renewals(bus));
  await t.step("a lock that is lost ends the program", () => losses(bus));
  await t.step("a signal goes to the program, and the lock ends with it", () => stops(bus));
});

Deno.test("a bus that goes away for longer than the lease ends the program", async () => {
  await using bus = await startBus();
  await using held = await holding(bus, ["--ttl", "3"]);
  await bus.stop("SIGKILL");
  const { code, stderr } = await held.holder.result();
  assert.equal(code, 1, stderr);
  assert.match(stderr, /the lock of jobs is lost; sh gets SIGTERM/);
  assert.match(stderr, /the lock of jobs was lost while sh ran: .*lease has run out/);
});
