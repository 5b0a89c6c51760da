/** The kernels of `worst_kernels.ts` are complete; the bench measures them. */
import assert from "node:assert/strict";
import { meter } from "../../wasm/metering/meter.ts";
import { fromText } from "../../wasm/testing/bytes.ts";
import { OPCODES } from "../../wasm/module/opcodes.ts";
import { kernelText, WITHOUT_KERNEL, worstKernels } from "./worst_kernels.ts";

Deno.test("every instruction has a kernel with its worst operands", () => {
  const covered = new Set(worstKernels().flatMap(({ ops }) => ops));
  const lacking = [...OPCODES].filter(([op]) => !covered.has(op) && !WITHOUT_KERNEL.has(op));
  assert.deepEqual(lacking.map(([, { name }]) => name), []);
});

Deno.test("every kernel runs to its end and is metered", () => {
  for (const kernel of worstKernels()) {
    const { bytes } = meter(fromText(kernelText({ ...kernel, repeats: 1 })), {
      memory_limit_pages: 65_536,
    });
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
    const fuel = exports["arqon_fuel"] as unknown as { value: bigint };
    fuel.value = 1n << 60n;
    (exports["prepare"] as () => void)();
    const before = fuel.value;
    (exports["run"] as (turns: number) => void)(1);
    assert.ok(fuel.value < before, kernel.name);
  }
});
