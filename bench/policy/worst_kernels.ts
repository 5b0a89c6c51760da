/**
 * Small modules in which each instruction has its longest execution time: subnormal numbers, accesses across pages and
 * outside of the caches, mispredicted branches, largest sizes. Text only.
 */
import { ANYWHERE, at, NEAR_PAGE_END, PAGE, STEP, textKernels } from "./worst_bulk.ts";
import { growingKernels, largeKernels, pointers } from "./worst_large.ts";
import { numericKernels } from "./worst_numeric.ts";
import { Op } from "../../wasm/module/opcodes.ts";
import type { WorstKernel } from "./worst_bulk.ts";

const LOADS = ["i32.load", "i64.load", "f32.load", "f64.load"].concat(
  ["8_s", "8_u", "16_s", "16_u"].map((size) => `i32.load${size}`),
  ["8_s", "8_u", "16_s", "16_u", "32_s", "32_u"].map((size) => `i64.load${size}`),
);
const STORES = ["i32.store", "i64.store", "f32.store", "f64.store", "i32.store8", "i32.store16"]
  .concat(["8", "16", "32"].map((size) => `i64.store${size}`));

/** A loaded value as an i32, so that the next address depends on it. */
function loaded(name: string, address: string, offset: number): string {
  const value = `(${name} offset=${offset} ${address})`;
  if (name.startsWith("i32")) return value;
  if (name.startsWith("i64")) return `(i32.wrap_i64 ${value})`;
  if (name.startsWith("f32")) return `(i32.reinterpret_f32 ${value})`;
  return `(i32.wrap_i64 (i64.reinterpret_f64 ${value}))`;
}

const stored = (name: string): string => `(local.get $${name.slice(0, 3)})`;

function memoryKernels(): readonly WorstKernel[] {
  const loads = LOADS.flatMap((name, index): WorstKernel[] => {
    const ops = [Op.I32_LOAD + index];
    const mixed = (value: string) =>
      `(local.set $i (i32.mul (i32.xor (local.get $i) ${value}) (i32.const 0x9e3779b1)))`;
    const one = (what: string, address: string, offset: number): WorstKernel => ({
      name: `${name} ${what}`,
      ops,
      body: mixed(loaded(name, address, offset)),
    });
    return [
      one("anywhere in 4 MiB", ANYWHERE, 0),
      one("across pages", NEAR_PAGE_END, PAGE - 1),
      one("across lines", at(0x3effc0), 63),
    ];
  });
  const stores = STORES.flatMap((name, index): WorstKernel[] => {
    const ops = [0x36 + index];
    const one = (what: string, address: string, offset: number): WorstKernel => ({
      name: `${name} ${what}`,
      ops,
      body: `${STEP} (${name} offset=${offset} ${address} ${stored(name)})`,
    });
    const load = name.replace("store", "load").replace(/(8|16|32)$/, "$1_u");
    const fixed = `(${name} offset=${PAGE - 1} (local.get $zero32) ${stored(name)})`;
    return [
      one("anywhere in 4 MiB", ANYWHERE, 0),
      one("across pages", NEAR_PAGE_END, PAGE - 1),
      one("across lines", at(0x3effc0), 63),
      { name: `${name} across one page`, ops, body: fixed },
      {
        name: `${name} and load across one page`,
        ops,
        body: `${fixed} (local.set $i32 ${loaded(load, "(local.get $zero32)", PAGE - 1)})`,
      },
    ];
  });
  const chase: WorstKernel = {
    name: "a chain of pointers through 4 MiB",
    ops: [Op.I32_LOAD],
    before: pointers(4 * 2 ** 20),
    body: "(local.set $i (i32.load (local.get $i)))",
  };
  return [...loads, ...stores, chase];
}

/** Kernels that convert a value between two types and back. */
const CONVERSIONS: readonly WorstKernel[] = [
  {
    name: "f64.promote_f32 and f32.demote_f64 of a subnormal number",
    ops: [0xb6, 0xbb],
    before: "(local.set $f64 (f64.const 0x1.23p-140))",
    body: "(local.set $f64 (f64.promote_f32 (f32.demote_f64 (local.get $f64))))",
  },
  ...["i64", "i32"].flatMap((integer) =>
    ["f64", "f32"].flatMap((float) =>
      ["s", "u"].map((sign) => ({
        name: `${float}.convert_${integer}_${sign} and back`,
        ops: [],
        before: `(local.set $${integer} (${integer}.const -2))`,
        body: `(local.set $${integer} (${integer}.trunc_sat_${float}_${sign}
          (${float}.convert_${integer}_${sign} (local.get $${integer}))))`,
      }))
    )
  ),
];

/** Instructions without a kernel: they end the code, or are part of another instruction. */
export const WITHOUT_KERNEL: ReadonlySet<number> = new Set([Op.UNREACHABLE, Op.ELSE, Op.END]);
/** All kernels. */
export function worstKernels(): readonly WorstKernel[] {
  return [
    ...CONVERSIONS,
    ...memoryKernels(),
    ...textKernels(),
    ...largeKernels(),
    ...growingKernels(),
    ...numericKernels(),
  ];
}

/** The text of a kernel's module. `run` takes the number of iterations, and stores its results in globals. */
export function kernelText(kernel: WorstKernel): string {
  const { body, before = "", prepare = "", fields = "", repeats = 32, memory = "64 64" } = kernel;
  return `(module ${fields} (memory (export "memory") ${memory})
    (global $seen (mut i64) (i64.const 0)) (global $last (mut i32) (i32.const 0)) (global $zeros (export "zeros") (mut i64) (i64.const 0))
    (func (export "prepare") (local $j i32) ${prepare})
    (func (export "run") (param $n i32)
      (local $i i32) (local $j i32) (local $acc i64) (local $random i64) (local $zero i64)
      (local $zero32 i32) (local $i32 i32) (local $i64 i64) (local $f32 f32) (local $f64 f64)
      (local $i32b i32) (local $i64b i64) (local $f32b f32) (local $f64b f64)
      (local.set $zero (global.get $zeros))
      (local.set $zero32 (i32.wrap_i64 (local.get $zero)))
      (local.set $random (i64.const 88172645463325252))
      ${kernel.goes_on === true ? "(local.set $i (global.get $last))" : ""}
      ${before}
      (loop $turn
        ${body.repeat(repeats)}
        (br_if $turn (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (global.set $last (local.get $i))
      (global.set $seen (i64.add (i64.extend_i32_u (i32.add (i32.add (local.get $i)
        (local.get $i32)) (local.get $j))) (i64.add (i64.add (local.get $acc) (local.get $i64))
        (i64.add (i64.extend_i32_u (i32.reinterpret_f32 (local.get $f32)))
          (i64.reinterpret_f64 (local.get $f64))))))))`;
}
