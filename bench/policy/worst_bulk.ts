/**
 * Kernels for tables and for bulk instructions on memory: the largest and smallest sizes, across pages and
 * lines, onto themselves. Text only; `worst_kernels.ts` collects all kernels.
 */
import { Op } from "../../wasm/module/opcodes.ts";
import type { WorstKernel } from "./worst_kernels.ts";

/** Size of a page of the machine, in bytes. */
export const PAGE = 4_096;
/** The text that gives `$i` another value each time. */
export const STEP = `(local.set $i (i32.add (i32.mul (local.get $i) (i32.const 1664525))
  (i32.const 1013904223)))`;
/** The text of an address made from `$i`. */
export const at = (mask: number) => `(i32.and (local.get $i) (i32.const ${mask}))`;
/** An address anywhere in 4 MiB. */
export const ANYWHERE = at(0x3effff);
/** The start of a page. With an offset of one less than the page, it is the last byte. */
export const NEAR_PAGE_END = at(0x3ef000);

const MANY = Array.from({ length: 1_000 }, (_, index) => `$f${index}`);
const TABLES = `(table $a 5000 funcref) (table $b 4900 funcref) (table $x 50 externref)
  (func $f) (elem declare func $f) (elem $passive func ${"$f ".repeat(1000)})
  (elem $gone func $f)
  ${MANY.map((name) => `(func ${name})`).join(" ")} (elem $many func ${MANY.join(" ")})`;
/** The first entries of a table are functions, each another one: an entry that is null costs half. */
const FILLED = "(table.init $b $many (i32.const 0) (i32.const 0) (i32.const 1000))";

const one = (name: string, op: number, body: string): WorstKernel => ({
  name,
  ops: [op],
  body,
  fields: TABLES,
  repeats: 8,
});

/** Copies entries that are functions. */
const copyOf = (what: string, operands: string): WorstKernel => ({
  ...one(`table.copy of ${what}`, Op.TABLE_COPY, `(table.copy ${operands})`),
  prepare: FILLED,
});

/** The kernels for tables. */
export function tableKernels(): readonly WorstKernel[] {
  const sized = (name: string, op: number, write: (size: number) => string, sizes: number[]) =>
    sizes.map((size) => one(`${name} of ${size}`, op, write(size)));
  return [
    one("table.get", Op.TABLE_GET, `${STEP} (drop (table.get $a ${at(4095)}))`),
    one("table.set of a function", Op.TABLE_SET, `(table.set $a (i32.const 7) (ref.func $f))`),
    one("table.set at random", Op.TABLE_SET, `${STEP} (table.set $a ${at(4095)} (ref.func $f))`),
    one("table.set of null", Op.TABLE_SET, "(table.set $a (i32.const 7) (ref.null func))"),
    one("ref.func", Op.REF_FUNC, "(drop (ref.func $f))"),
    one("ref.is_null", Op.REF_IS_NULL, "(local.set $i (ref.is_null (ref.func $f)))"),
    one("ref.null", Op.REF_NULL, "(local.set $i (ref.is_null (ref.null extern)))"),
    one("table.size", Op.TABLE_SIZE, "(local.set $i (table.size $a))"),
    one("table.grow 0", Op.TABLE_GROW, "(drop (table.grow $x (ref.null extern) (i32.const 0)))"),
    one(
      "table.grow too much",
      Op.TABLE_GROW,
      "(drop (table.grow $a (ref.func $f) (i32.const -1)))",
    ),
    one("elem.drop", Op.ELEM_DROP, "(elem.drop $gone)"),
    ...sized(
      "table.fill",
      Op.TABLE_FILL,
      (size) => `(table.fill $a (i32.const 0) (ref.func $f) (i32.const ${size}))`,
      [0, 1, 5000],
    ),
    ...sized(
      "table.copy",
      Op.TABLE_COPY,
      (size) => `(table.copy $a $b (i32.const 0) (i32.const 0) (i32.const ${size}))`,
      [0, 1, 4900],
    ),
    ...sized(
      "table.copy onto itself",
      Op.TABLE_COPY,
      (size) => `(table.copy $a $a (i32.const 1) (i32.const 0) (i32.const ${size}))`,
      [1, 4900],
    ),
    ...[1, 1000].flatMap((size) => [
      copyOf(`${size} functions`, `$a $b (i32.const 0) (i32.const 0) (i32.const ${size})`),
      copyOf(
        `${size} functions onto themselves`,
        `$b $b (i32.const 1) (i32.const 0) (i32.const ${size})`,
      ),
    ]),
    one(
      "table.init of 1000 that differ",
      Op.TABLE_INIT,
      "(table.init $a $many (i32.const 0) (i32.const 0) (i32.const 1000))",
    ),
    ...sized(
      "table.init",
      Op.TABLE_INIT,
      (size) => `(table.init $a $passive (i32.const 0) (i32.const 0) (i32.const ${size}))`,
      [0, 1, 1000],
    ),
  ];
}

const DATA = `(data $passive "${"x".repeat(65_536)}") (data $gone "x")`;

/** The kernels for bulk instructions on memory. */
export function bulkKernels(): readonly WorstKernel[] {
  const one = (name: string, op: number, body: string): WorstKernel => ({
    name,
    ops: [op],
    body,
    fields: DATA,
    repeats: 4,
  });
  const copies: readonly (readonly [to: number, from: number, size: number])[] = [
    [0, 0, 0],
    [4_093, 8_189, 8],
    [4_095, 12_287, 2],
    [1, 0, 4_000_000],
    [0, 1, 4_000_000],
    [2_097_153, 31, 2_000_000],
    [33, 0, 65_536],
    [1, 0, 200],
    [0, 1, 200],
    [PAGE - 1, 2 * PAGE - 1, 4_097],
  ];
  const fills: readonly (readonly [to: number, size: number])[] = [
    [0, 0],
    [4_093, 8],
    [4_095, 130],
    [1, 4_000_000],
    [63, 65_536],
  ];
  return [
    one("data.drop", Op.DATA_DROP, "(data.drop $gone)"),
    ...fills.map(([to, size]) =>
      one(
        `memory.fill of ${size} at ${to}`,
        Op.MEMORY_FILL,
        `(memory.fill (i32.const ${to}) (local.get $zero32) (i32.const ${size}))`,
      )
    ),
    ...copies.map(([to, from, size]) =>
      one(
        `memory.copy of ${size} from ${from} to ${to}`,
        Op.MEMORY_COPY,
        `(memory.copy (i32.const ${to}) (i32.const ${from}) (i32.const ${size}))`,
      )
    ),
    one(
      "memory.copy of 16 to anywhere in 4 MiB",
      Op.MEMORY_COPY,
      `${STEP} (memory.copy ${ANYWHERE} ${NEAR_PAGE_END} (i32.const 16))`,
    ),
    ...[0, 1, 65_536].map((size) =>
      one(
        `memory.init of ${size}`,
        Op.MEMORY_INIT,
        `(memory.init $passive (i32.const 4095) (i32.const 0) (i32.const ${size}))`,
      )
    ),
  ];
}
