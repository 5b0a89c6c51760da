/**
 * Kernels as lines of text: control flow, variables, tables, and bulk memory instructions (largest and smallest sizes,
 * across pages and cache lines, overlapping). `worst_kernels.ts` collects all kernels.
 */
import { OPCODES } from "../../wasm/module/opcodes.ts";

/** One kernel, for one or more instructions. */
export interface WorstKernel {
  readonly name: string;
  readonly ops: readonly number[];
  readonly body: string;
  /** The text before the loop, at the beginning of each run. */
  readonly before?: string;
  /** The text that runs once before everything; the loop uses the memory and tables that it fills. */
  readonly prepare?: string;
  readonly fields?: string;
  /** Number of copies of the body in the loop; 32 if absent. */
  readonly repeats?: number;
  /** Minimum and maximum pages of the memory; 64 each if absent. */
  readonly memory?: string;
  /**
   * Whether a run starts with the `$i` of the previous run's end; otherwise the same addresses would be in the caches.
   */
  readonly goes_on?: true;
  /** Whether each iteration needs a fresh instance, whose creation is not counted. */
  readonly fresh?: true;
}

/** Size of a page of the machine, in bytes. */
export const PAGE = 4_096;
/** The text that changes `$i`. */
export const STEP = `(local.set $i (i32.add (i32.mul (local.get $i) (i32.const 1664525))
  (i32.const 1013904223)))`;
/** The text of an address that is computed from `$i`. */
export const at = (mask: number) => `(i32.and (local.get $i) (i32.const ${mask}))`;
/** A random address within 4 MiB. */
export const ANYWHERE = at(0x3effff);
/** The start of a page. With an offset of one less than the page size, it is the last byte. */
export const NEAR_PAGE_END = at(0x3ef000);

/** Opcodes by instruction name; both selects have the same one. */
const OPS = new Map(
  [...OPCODES].map(([op, { name, immediate }]) => [
    immediate === "types" ? `typed_${name}` : name,
    op,
  ]),
);

/**
 * A kernel for each line `NAME; BODY; VALUES; OPS`. With values, one for each tuple; they replace `%1`, `%2`, and so
 * on. OPS defaults to the first word of the name.
 */
export function kernels(text: string, more: Partial<WorstKernel> = {}): WorstKernel[] {
  return text.trim().split(/\n(?! )/).flatMap((line) => {
    const [name = "", body = "", values = "", named = ""] = line.split(";").map((one) =>
      one.trim()
    );
    const ops = (named || name.split(" ", 1)[0]!).split(" ").map((one) => {
      const op = OPS.get(one);
      if (op === undefined) throw new TypeError(`${name}: there is no instruction ${one}`);
      return op;
    });
    return values.split(",").map((tuple) => {
      const put = (into: string) =>
        into.replace(/%(\d)/g, (_, place) => tuple.trim().split(" ")[place - 1]!);
      return { ...more, name: put(name), body: put(body), ops };
    });
  });
}

const range = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index);

const RANDOM_BIT = `(i32.and (i32.shr_u (local.get $i) (i32.const 17)) (i32.const 1))`;
const RANDOM_7 = `(i32.and (i32.shr_u (local.get $i) (i32.const 17)) (i32.const 7))`;
const COUNT = "(local.set $j (i32.add (local.get $j) (i32.const 1)))";
const LABELS = range(0, 7).join(" ");
const LEAVES = range(0, 7).map((number) => `(func $leaf${number} (type $t) (i32.const ${number}))`);
const LEAF_NAMES = range(0, 7).map((number) => `$leaf${number}`).join(" ");
/** The callees of control flow: leaves in a table, and functions that return, have locals, or call. */
const FUNCTIONS = `(type $t (func (result i32))) ${LEAVES.join(" ")}
  (table $leaves 8 funcref) (elem (table $leaves) (i32.const 0) func ${LEAF_NAMES})
  (func $returns (param i32) (result i32) (return (local.get 0)))
  (func $locals (local ${"i64 ".repeat(100)}))
  (func $inner) (func $calls (call $inner)) (global $other (mut i64) (i64.const 0))`;
const BLOCK_8 = `(block ${"(result i64 i64 i64 i64 i64 i64 i64 i64)"} ${
  "(i64.const 1) ".repeat(8)
}`;

const CONTROL = `
br_if mispredicted; ${STEP} (block (br_if 0 ${RANDOM_BIT}) ${COUNT})
if mispredicted; ${STEP} (if ${RANDOM_BIT} (then ${COUNT}) (else (nop)))
select mispredicted; ${STEP} (local.set $j (select (local.get $j) (local.get $i) ${RANDOM_BIT}))
typed select mispredicted; ${STEP}
  (local.set $j (select (result i32) (local.get $j) (local.get $i) ${RANDOM_BIT}));; typed_select
br over a block; (block (br 0))
br with eight values; ${BLOCK_8} (br 0)) ${"drop ".repeat(8)}
nested blocks; (block (block (block ${COUNT})));; block
a loop that ends at once; (loop ${COUNT});; loop
call; (local.set $j (call $leaf0))
call and return; (local.set $j (call $returns (local.get $j)));; return
call of a function with 100 locals; (call $locals)
call of a function that calls; (call $calls)
call_indirect; (local.set $j (call_indirect $leaves (type $t) (i32.const 3)))
call_indirect mispredicted; ${STEP} (local.set $j (call_indirect $leaves (type $t) ${RANDOM_7}))
nop and drop; (nop) (drop (i32.const 1))
constants; (drop (i32.const 1)) (drop (i64.const 1)) (drop (f32.const 1)) (drop (f64.const 1)) ${COUNT};;
  i32.const i64.const f32.const f64.const drop
local.get, set and tee; (local.set $i (local.tee $j (local.get $i)));; local.get local.set local.tee
global.get and set in a chain; (global.set $other (i64.add (global.get $other) (i64.const 1)));;
  global.get global.set
memory.size; (local.set $i (memory.size))
memory.grow 0; (drop (memory.grow (i32.const 0)))
memory.grow too much; (drop (memory.grow (i32.const -1)))`;
/** The body is long, so the loop has fewer copies. */
const BR_TABLE = `br_table mispredicted; ${STEP} ${
  "(block ".repeat(8)
} (br_table ${LABELS} ${RANDOM_7}) ${`) ${COUNT} `.repeat(8)}`;

const MANY = Array.from({ length: 1_000 }, (_, index) => `$f${index}`);
const TABLES = `(table $a 5000 funcref) (table $b 4900 funcref) (table $x 50 externref)
  (func $f) (elem declare func $f) (elem $passive func ${"$f ".repeat(1000)})
  (elem $gone func $f)
  ${MANY.map((name) => `(func ${name})`).join(" ")} (elem $many func ${MANY.join(" ")})`;
/** The first entries of a table are distinct functions: a null entry costs half. */
const FILLED = "(table.init $b $many (i32.const 0) (i32.const 0) (i32.const 1000))";
const OF_TABLES = `
table.get; ${STEP} (drop (table.get $a ${at(4095)}))
table.set of a function; (table.set $a (i32.const 7) (ref.func $f))
table.set at random; ${STEP} (table.set $a ${at(4095)} (ref.func $f))
table.set of null; (table.set $a (i32.const 7) (ref.null func))
ref.func; (drop (ref.func $f))
ref.is_null; (local.set $i (ref.is_null (ref.func $f)))
ref.null; (local.set $i (ref.is_null (ref.null extern)))
table.size; (local.set $i (table.size $a))
table.grow 0; (drop (table.grow $x (ref.null extern) (i32.const 0)))
table.grow too much; (drop (table.grow $a (ref.func $f) (i32.const -1)))
elem.drop; (elem.drop $gone)
table.fill of %1; (table.fill $a (i32.const 0) (ref.func $f) (i32.const %1)); 0, 1, 5000
table.copy of %1; (table.copy $a $b (i32.const 0) (i32.const 0) (i32.const %1)); 0, 1, 4900
table.copy onto itself of %1; (table.copy $a $a (i32.const 1) (i32.const 0) (i32.const %1)); 1, 4900
table.init of 1000 that differ; (table.init $a $many (i32.const 0) (i32.const 0) (i32.const 1000))
table.init of %1; (table.init $a $passive (i32.const 0) (i32.const 0) (i32.const %1)); 0, 1, 1000`;
const OF_FILLED = `
table.copy of %1 functions; (table.copy $a $b (i32.const 0) (i32.const 0) (i32.const %1)); 1, 1000
table.copy of %1 functions onto themselves;
  (table.copy $b $b (i32.const 1) (i32.const 0) (i32.const %1)); 1, 1000`;

const DATA = `(data $passive "${"x".repeat(65_536)}") (data $gone "x")`;
const BULK = `
data.drop; (data.drop $gone)
memory.fill of %2 at %1; (memory.fill (i32.const %1) (local.get $zero32) (i32.const %2));
  0 0, 4093 8, 4095 130, 1 4000000, 63 65536
memory.copy of %3 from %2 to %1; (memory.copy (i32.const %1) (i32.const %2) (i32.const %3));
  0 0 0, 4093 8189 8, 4095 12287 2, 1 0 4000000, 0 1 4000000, 2097153 31 2000000, 33 0 65536, 1 0 200, 0 1 200, 4095 8191 4097
memory.copy of 16 to anywhere in 4 MiB; ${STEP} (memory.copy ${ANYWHERE} ${NEAR_PAGE_END} (i32.const 16))
memory.init of %1; (memory.init $passive (i32.const 4095) (i32.const 0) (i32.const %1)); 0, 1, 65536`;

/** These kernels. */
export function textKernels(): readonly WorstKernel[] {
  return [
    ...kernels(CONTROL, { fields: FUNCTIONS }),
    ...kernels(BR_TABLE, { fields: FUNCTIONS, repeats: 4 }),
    ...kernels(OF_TABLES, { fields: TABLES, repeats: 8 }),
    ...kernels(OF_FILLED, { fields: TABLES, repeats: 8, prepare: FILLED }),
    ...kernels(BULK, { fields: DATA, repeats: 4 }),
  ];
}
