// With which flags and permissions the npm package starts Deno.
import assert from "node:assert/strict";
import { launcherFlags } from "./pack_arqon.ts";
import { taskFlags } from "./pack_manifest.ts";

const { tasks } = JSON.parse(
  await Deno.readTextFile(new URL("../../deno.json", import.meta.url)),
) as { tasks: Record<string, string> };

Deno.test("the launcher has the flags of the task, and starts Deno by its path", () => {
  const flags = launcherFlags({ arq: "deno run --no-prompt --allow-run=deno,sh arq/main.ts" });
  assert.deepEqual(flags.slice(-2), ["--no-prompt", "--allow-run={deno},sh,buf"]);
  assert.ok(flags.includes("--no-config") && flags.includes("--no-lock"));
});

Deno.test("every program has a task whose flags can be taken over", () => {
  for (const name of ["arq", "shield", "brain"]) {
    const flags = taskFlags(tasks, name);
    assert.ok(flags.includes("--no-prompt") && flags.every((flag) => flag.startsWith("--")), name);
    assert.ok(!flags.some((flag) => /^(?:-A|--allow-all)$/.test(flag)), name);
  }
});

Deno.test("a task that is something else is an error", () => {
  assert.throws(() => taskFlags({ arq: "deno test arq" }, "arq"), /task arq is not/);
  assert.throws(() => taskFlags({}, "arq"), /task arq is not/);
});
