// The flags of a compiled program, from those of its task.
import assert from "node:assert/strict";
import { compileFlags } from "./compile.ts";

Deno.test("a compiled program may start itself at any path, and contains the modules that it loads later", () => {
  assert.deepEqual(
    compileFlags(["--allow-run=deno,sh", "--allow-net", "--unstable-lazy-dynamic-imports"]),
    ["--allow-run", "--allow-net"],
  );
});
