/**
 * Scenarios that run in a separate process, with more permissions than tests have, and appear as steps of a test.
 * Playwright needs that: it reads `/proc`. Not the scenarios themselves.
 */
import assert from "node:assert/strict";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");

/** A step in a shared world; steps run one after another. */
export interface ChildScenario<World> {
  readonly name: string;
  run(world: World): Promise<void>;
}

interface Line {
  readonly plan?: readonly string[];
  readonly name?: string;
  readonly error?: string;
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Line> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) yield JSON.parse(line);
  }
}

/** Runs `program`, a path below the root, with all permissions; every scenario becomes a step. */
export async function runInChild(t: Deno.TestContext, program: string): Promise<void> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-prompt",
      "--unstable-net",
      "--unstable-worker-options",
      `${ROOT}/${program}`,
    ],
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const wrote = new Response(child.stderr).text();
  let plan: readonly string[] = [];
  const ended: string[] = [];
  for await (const line of linesOf(child.stdout)) {
    const { name, error } = line;
    plan = line.plan ?? plan;
    if (name === undefined) continue;
    ended.push(name);
    await t.step(name, () => {
      if (error !== undefined) throw new Error(error);
    });
  }
  const { success } = await child.status;
  // If it could not run at all, for example could not start Chromium, it has printed why.
  assert.ok(success, await wrote);
  await wrote;
  assert.ok(plan.length > 0, "the child had no plan");
  assert.deepEqual(ended, plan, "not every scenario has ended");
}

/** Scenarios whose names contain one of `words`; all of them without words. */
export function wanted<World>(
  scenarios: readonly ChildScenario<World>[],
  words: readonly string[],
): ChildScenario<World>[] {
  return scenarios.filter(({ name }) =>
    words.length === 0 || words.some((word) => name.includes(word))
  );
}

/** The child's side: the names first, so that a scenario that never ends is reported missing. */
export function announce<World>(scenarios: readonly ChildScenario<World>[]): void {
  console.log(JSON.stringify({ plan: scenarios.map(({ name }) => name) }));
}

/** Runs them one after another, each with its result as a line of JSON. */
export async function runAll<World>(
  scenarios: readonly ChildScenario<World>[],
  world: World,
): Promise<void> {
  for (const { name, run } of scenarios) {
    const error = await run(world).then(
      () => undefined,
      (reason) => reason instanceof Error ? reason.stack ?? reason.message : String(reason),
    );
    console.log(JSON.stringify(error === undefined ? { name } : { name, error }));
  }
}
