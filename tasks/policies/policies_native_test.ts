/** Tests of the WAT assembler; the builds test the compilers of C and Rust. */
import assert from "node:assert/strict";
import { assembleWat } from "./policies_native.ts";

const none = () => Promise.reject(new Error("asked for a file"));

Deno.test("a string @file: is replaced by the bytes of a file", async () => {
  const text = '(module (memory (export "memory") 1) (data (i32.const 1) "@file:a/b.bin"))';
  const bytes = await assembleWat("test.wat", text, (path) => {
    assert.equal(path, "a/b.bin");
    return Promise.resolve(Uint8Array.of(0, 34, 92, 255));
  });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(bytes)));
  const memory = new Uint8Array((exports["memory"] as WebAssembly.Memory).buffer);
  assert.deepEqual([...memory.subarray(0, 6)], [0, 0, 34, 92, 255, 0]);
});

Deno.test("a comment that names @file: reads nothing", async () => {
  await assembleWat("test.wat", ";; `@file:` and @file:x.bin\n(module)", none);
});

Deno.test("an invalid module is refused with its line", async () => {
  await assert.rejects(
    assembleWat("test.wat", "(module\n  (func (i32.nope)))", none),
    /test\.wat:2/,
  );
  await assert.rejects(
    assembleWat("test.wat", "(module (func (i32.const 1)))", none),
    /type mismatch/,
  );
});
