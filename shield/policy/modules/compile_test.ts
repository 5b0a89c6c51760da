/** Trial compilation in real child processes: passed, refused and stopped modules. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { childCommand, COMPILE_LIMITS, Compiler } from "./compile.ts";
import { EXIT_MEMORY, EXIT_REFUSED, TRIAL_ARGUMENT } from "../../../wasm/instance/compile_child.ts";
import { meteredGuest } from "../testing/guests.ts";
import { PolicyModuleError } from "../../../wasm/module/errors.ts";

const BYTES = meteredGuest({ body: "i32.const 0" });

/** One function with many locals and empty loops: valid, and hard to compile. */
function compileBomb(locals: number, loops: number): Uint8Array<ArrayBuffer> {
  const leb = (value: number) => {
    const bytes = [];
    for (; value > 127; value >>>= 7) bytes.push(value & 127 | 128);
    return [...bytes, value];
  };
  const sized = (bytes: number[]) => [...leb(bytes.length), ...bytes];
  const loop = [0x03, 0x40, 0x0b];
  const body = [1, ...leb(locals), 0x7f, ...Array.from({ length: loops }, () => loop).flat(), 0x0b];
  const magic = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  const code = sized([1, ...sized(body)]);
  return new Uint8Array([...magic, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, ...code]);
}

async function reasonOf(promise: Promise<unknown>): Promise<[reason: string, sentence: string]> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof PolicyModuleError, String(error));
    return [error.reason, error.message];
  }
  assert.fail("it was compiled");
}

Deno.test("a module that the engine refuses is refused with the engine's sentence, and may be tried again", async () => {
  const compiler = new Compiler();
  const [reason, sentence] = await reasonOf(compiler.compile("a", BYTES.subarray(0, 20)));
  assert.equal(reason, "compile-refused");
  assert.match(sentence, /WebAssembly.compile\(\)/);
  const { compiled } = await compiler.compile("a", BYTES);
  assert.ok(compiled instanceof WebAssembly.Module);
});

Deno.test("a compile bomb is stopped at the memory limit", async () => {
  const limits = { ...COMPILE_LIMITS, memory_bytes: 16_777_216 };
  const bomb = compileBomb(20_000, 2_000);
  const [reason] = await reasonOf(new Compiler({ limits }).compile("a", bomb));
  assert.equal(reason, "compile-memory");
});

Deno.test("a trial that takes too long is stopped", async () => {
  const limits = { ...COMPILE_LIMITS, cpu_ms: 0.01 };
  const [reason, sentence] = await reasonOf(new Compiler({ limits }).compile("a", BYTES));
  assert.deepEqual([reason, sentence], ["compile-time", "compiling takes more than 0.01 ms"]);
});

Deno.test("a server with an environment that Deno passes to no child tries modules, too", async () => {
  const compile = new URL("./compile.ts", import.meta.url).href;
  const program = await Deno.makeTempFile({ suffix: ".ts" });
  await Deno.writeTextFile(
    program,
    `import { Compiler } from ${JSON.stringify(compile)};
    await new Compiler().compile("a", Uint8Array.fromBase64("${BYTES.toBase64()}"));`,
  );
  const config = fileURLToPath(new URL("../../../deno.json", import.meta.url));
  const flags = ["--quiet", "--ignore-env", "--allow-read", `--allow-run=${Deno.execPath()}`];
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--config", config, ...flags, program],
    // Stands for LD_PRELOAD, by which allocators are loaded.
    env: { LD_ARQON: "1" },
    stdin: "null",
  }).output();
  await Deno.remove(program);
  assert.equal(code, 0, new TextDecoder().decode(stderr));
});

Deno.test("a compiled server starts itself again for a trial", () => {
  const own = { program: "file:///x/compile_child.ts", compiled_as: TRIAL_ARGUMENT };
  const trial = { ...own, args: ["64"], v8_flags: ["--liftoff-only"] };
  const { command, args } = childCommand(trial, true);
  assert.equal(command, Deno.execPath());
  assert.deepEqual(args, [TRIAL_ARGUMENT, "64"]);
  assert.ok(childCommand(trial, false).args.includes("--v8-flags=--liftoff-only"));
});

Deno.test("a server that is started for a trial compiles eagerly, within the limits, and refuses", async () => {
  const server = fileURLToPath(new URL("../../main.ts", import.meta.url));
  const trial = async (bytes: Uint8Array<ArrayBuffer>, memory_bytes: number) => {
    // The same as for a compiled server: all permissions and its own flags.
    const flags = ["run", "--quiet", "-A", "--v8-flags=--no-wasm-lazy-compilation"];
    const child = new Deno.Command(Deno.execPath(), {
      args: [...flags, server, TRIAL_ARGUMENT, String(memory_bytes), String(cpu_ms)],
      stdin: "piped",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    new Blob([bytes]).stream().pipeTo(child.stdin).catch(() => {});
    const { code, stderr } = await child.output();
    return [code, new TextDecoder().decode(stderr)] as const;
  };
  const { memory_bytes, cpu_ms } = COMPILE_LIMITS;
  assert.deepEqual(await trial(BYTES, memory_bytes), [0, ""]);
  const [code, sentence] = await trial(BYTES.slice(0, 20), memory_bytes);
  assert.equal(code, EXIT_REFUSED);
  assert.match(sentence, /WebAssembly.compile\(\)/);
  // Only an eager compiler takes long enough to be noticed.
  assert.equal((await trial(compileBomb(49_000, 2_000), 1))[0], EXIT_MEMORY);
});
