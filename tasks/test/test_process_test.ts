/** Programs that leave processes behind come to an end, and it is said. */
import assert from "node:assert/strict";
import { type Followed, followTests } from "./test_process.ts";

/** Follows a program, and returns how it ended and everything that was printed. */
async function follow(
  command: string,
  args: readonly string[],
): Promise<Followed & { printed: string }> {
  const child = new Deno.Command(command, {
    args: [...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let printed = "";
  const followed = await followTests(
    { name: "the run", child, kept: child.stdout, shown: child.stderr },
    (text) => printed += text,
    300,
  );
  return { ...followed, printed };
}

Deno.test("what a program says is kept from stdout and shown from both", async () => {
  const said = await follow("sh", ["-c", "echo one; echo two >&2; exit 3"]);
  assert.equal(said.success, false);
  assert.equal(said.output, "one\n");
  assert.match(said.printed, /one\n/);
  assert.match(said.printed, /two\n/);
  assert.doesNotMatch(said.printed, /FAIL/);
});

Deno.test("a process that is left behind does not hold the run", async () => {
  const said = await follow("sh", ["-c", "sleep 60 & echo $!"]);
  assert.equal(said.success, true);
  assert.match(said.printed, /has left processes behind/);
  Deno.kill(Number(said.output), "SIGKILL");
});
