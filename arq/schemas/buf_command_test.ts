// Which buf each form of arq starts.
import assert from "node:assert/strict";
import { bufCommand } from "./schema_build.ts";

const ON_PATH = { command: "buf", args: [] };

Deno.test("a checkout uses buf from its own packages", () => {
  const { command, args } = bufCommand();
  assert.match(command, /deno/);
  assert.equal(args.at(-1), "@bufbuild/buf");
  assert.ok(args.includes("--config"));
});

Deno.test("a compiled arq uses the one on the PATH", () => {
  assert.deepEqual(bufCommand(import.meta.url, true), ON_PATH);
});

Deno.test("npm's package uses npm's buf if that is installed, else the one on the PATH", () => {
  const url = "file:///project/node_modules/arqon/arq/buf_command.js";
  assert.deepEqual(bufCommand(url, false, () => undefined), ON_PATH);
  const program = "/project/node_modules/@bufbuild/buf/bin/buf";
  const { command, args } = bufCommand(url, false, (from) => from === url ? program : undefined);
  assert.match(command, /deno/);
  assert.equal(args.at(-1), program);
  assert.ok(!args.includes("--config"));
});
