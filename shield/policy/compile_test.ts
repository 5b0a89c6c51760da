/**
 * Trial compilation in real child processes: what passes, what is refused, what is stopped.
 */
import assert from "node:assert/strict";
import { COMPILE_LIMITS, createCompiler } from "./compile.ts";
import { meteredGuest } from "./test_guests.ts";
import { PolicyModuleError } from "./wasm/errors.ts";

const BYTES = meteredGuest({ body: "i32.const 0" });

/** One function with so many locals and empty loops: valid, and hard to compile. */
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

Deno.test("a module is tried in child processes once, then shared", async () => {
  const compiler = createCompiler();
  const [first, second] = await Promise.all([
    compiler.compile("a", BYTES),
    compiler.compile("a", BYTES),
  ]);
  assert.equal(first, second);
  assert.ok(first instanceof WebAssembly.Module);
  assert.equal(await compiler.compile("a", BYTES), first);
});

Deno.test("only so many modules are remembered", async () => {
  const compiler = createCompiler({ max: 1 });
  const first = await compiler.compile("a", BYTES);
  await compiler.compile("b", BYTES);
  assert.notEqual(await compiler.compile("a", BYTES), first);
});

Deno.test("what the engine refuses is refused with its sentence, and may be tried again", async () => {
  const compiler = createCompiler();
  const [reason, sentence] = await reasonOf(compiler.compile("a", BYTES.subarray(0, 20)));
  assert.equal(reason, "compile-refused");
  assert.match(sentence, /WebAssembly.compile\(\)/);
  assert.ok(await compiler.compile("a", BYTES) instanceof WebAssembly.Module);
});

Deno.test("a compile bomb ends at the memory limit", async () => {
  const limits = { ...COMPILE_LIMITS, memory_bytes: 16_777_216 };
  const [reason] = await reasonOf(
    createCompiler({ limits }).compile("a", compileBomb(20_000, 2_000)),
  );
  assert.equal(reason, "compile-memory");
});

Deno.test("a trial that takes too long ends", async () => {
  const limits = { ...COMPILE_LIMITS, wall_ms: 1 };
  const [reason, sentence] = await reasonOf(createCompiler({ limits }).compile("a", BYTES));
  assert.deepEqual([reason, sentence], ["compile-time", "compiling takes more than 1 ms"]);
});
