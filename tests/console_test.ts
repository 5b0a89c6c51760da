/** The console in real Chromium on a real bus: `console/scenarios*.ts`, run by `console/child.ts`. */
import assert from "node:assert/strict";

const ROOT = new URL("..", import.meta.url).pathname.replace(/\/$/, "");

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

Deno.test("the console in Chromium", async (t) => {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-prompt", "--unstable-net", `${ROOT}/tests/console/child.ts`],
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
  // What it could not do at all, for example start Chromium, it has said.
  assert.ok(success, await wrote);
  await wrote;
  assert.ok(plan.length > 0, "the child had no plan");
  assert.deepEqual(ended, plan, "not every scenario has ended");
});
