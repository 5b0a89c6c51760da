// What is told of a binary by its bytes.
import assert from "node:assert/strict";
import {
  binaryProblems,
  compileArguments,
  compileFlags,
  isTarget,
  programFile,
} from "./compile_target.ts";

const FLAGS = ["--no-prompt", "--v8-flags=--a,--b", "--unstable-net", "--allow-net", "--allow-run"];
const GOOD = {
  argv: [],
  permissions: { allow_net: [], allow_run: [], allow_read: null, prompt: false },
  v8_flags: ["UNUSED_BUT_NECESSARY_ARG0", "--a", "--b"],
  unstable_config: { features: ["net"] },
  app_name: "x",
};
const FILES = new Map([["shield/policy/worker/worker.ts", "/** A worker. */"]]);
/** As Deno writes one: other bytes before and after. */
const binary = (change: object, text = "/** A worker. */") =>
  new TextEncoder().encode(
    `\0ELF{"argv":[\0${JSON.stringify({ ...GOOD, ...change })}\0\x01${text}}{`,
  );
const check = (change: object, text?: string) =>
  binaryProblems(binary(change, text), { flags: FLAGS, files: FILES }).join("\n");

Deno.test("a binary with its flags, permissions and files has no problems", () => {
  assert.equal(check({}), "");
});

Deno.test("missing flags and files are told", () => {
  assert.match(check({ v8_flags: ["--a"] }), /V8 lacks --b/);
  assert.match(check({ unstable_config: { features: [] } }), /lacks net/);
  assert.match(check({}, "nothing"), /worker\.ts is not in it/);
  const empty = { flags: [], files: new Map<string, string>() };
  assert.match(binaryProblems(new Uint8Array(100), empty).join(), /does not say/);
});

Deno.test("permissions that are missing, not wanted or too narrow are told", () => {
  const permissions = (change: object) => ({ permissions: { ...GOOD.permissions, ...change } });
  assert.match(check(permissions({ allow_run: null })), /permission run: missing/);
  assert.match(check(permissions({ allow_read: [] })), /permission read: not wanted/);
  assert.match(check(permissions({ allow_net: ["a"] })), /permission net: .*--allow-net/);
  assert.match(check(permissions({ prompt: true })), /ask for permissions/);
});

Deno.test("a compiled program may start itself, wherever it is", () => {
  assert.deepEqual(compileFlags(["--allow-run=deno,sh", "--allow-net"]), [
    "--allow-run",
    "--allow-net",
  ]);
});

Deno.test("a compiled program holds what it loads later", () => {
  assert.deepEqual(compileFlags(["--unstable-lazy-dynamic-imports", "--unstable-net"]), [
    "--unstable-net",
  ]);
});

Deno.test("targets are known, and programs are called .exe on Windows alone", () => {
  assert.ok(isTarget("aarch64-apple-darwin"));
  assert.ok(!isTarget("linux"));
  assert.equal(programFile("arq", "x86_64-pc-windows-msvc"), "arq.exe");
  assert.equal(programFile("arq", "x86_64-unknown-linux-gnu"), "arq");
});

Deno.test("--help is no mistake, another option is one that names it", () => {
  assert.equal(compileArguments(["--help"]).help, true);
  assert.throws(() => compileArguments(["--hlep"]), /Unknown option '--hlep'/);
});
