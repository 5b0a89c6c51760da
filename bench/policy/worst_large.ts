/**
 * Kernels whose cost a small, already touched memory would hide: accesses in memories larger than every cache, and
 * growth with the first touch of each page. Text only; `worst_kernels.ts` collects all kernels.
 */
import { Op } from "../../wasm/module/opcodes.ts";
import { at, kernels, PAGE, STEP, type WorstKernel } from "./worst_bulk.ts";

const PAGE_BYTES = 65_536;
const LINE = 64;
const MIXED = "(i32.const 0x9e3779b1)";

/**
 * The text that stores one pointer in each cache line; the line size in bytes is a power of two. Multiplier and
 * increment reach every line once.
 */
export function pointers(bytes: number): string {
  const lines = bytes / LINE;
  return `(local.set $j (i32.const 0))
    (loop $fill
      (i32.store (i32.shl (local.get $j) (i32.const 6))
        (i32.shl (i32.and (i32.add (i32.mul (local.get $j) (i32.const 25173)) (i32.const 13849))
          (i32.const ${lines - 1})) (i32.const 6)))
      (br_if $fill (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1)))
        (i32.const ${lines}))))`;
}

/** The kernels in a memory of this many pages, a power of two. */
function inPages(pages: number): readonly WorstKernel[] {
  const mib = pages * PAGE_BYTES / 2 ** 20;
  const bytes = pages * PAGE_BYTES;
  const half = bytes / 2;
  const last = bytes - 1;
  const more = { memory: `${pages} ${pages}`, ...(pages > 128 ? { goes_on: true } as const : {}) };
  return [
    ...kernels(
      `
i32.load8_u anywhere in ${mib} MiB; (local.set $i (i32.mul (i32.xor (local.get $i)
  (i32.load8_u ${at(bytes - LINE)})) ${MIXED}))
i32.load across lines in ${mib} MiB; (local.set $i (i32.mul (i32.xor (local.get $i)
  (i32.load offset=63 ${at(half - LINE)})) ${MIXED}))
i32.store across pages in ${mib} MiB; ${STEP}
  (i32.store offset=${PAGE - 1} ${at(bytes - 4 * PAGE)} (local.get $i32))
i32.store8 anywhere in ${mib} MiB; ${STEP} (i32.store8 ${at(last)} (local.get $i32))`,
      { ...more, repeats: 32 },
    ),
    ...kernels(
      `
memory.copy of one half to the other in ${mib} MiB;
  (memory.copy (i32.const 1) (i32.const ${half}) (i32.const ${half - LINE}))
memory.fill of all in ${mib} MiB; (memory.fill (i32.const 0) (local.get $zero32) (i32.const ${last}))`,
      { ...more, repeats: 1 },
    ),
  ];
}

/** The kernels in memories larger than the caches, one for each price class. */
export function largeKernels(): readonly WorstKernel[] {
  const chain = (pages: number, more: Partial<WorstKernel>): WorstKernel => ({
    name: `a chain of pointers through ${pages * PAGE_BYTES / 2 ** 20} MiB`,
    ops: [Op.I32_LOAD],
    body: "(local.set $i (i32.load (local.get $i)))",
    memory: `${pages} ${pages}`,
    ...more,
  });
  const cached = 128;
  const large = 1_024;
  return [
    // Each run writes the whole memory, so that it is in the caches.
    chain(cached, { before: pointers(cached * PAGE_BYTES) }),
    chain(large, { prepare: pointers(large * PAGE_BYTES), goes_on: true }),
    ...[cached, large, 8_192].flatMap(inPages),
  ];
}

const TOUCH = (from: number, to: number) =>
  `(local.set $j (i32.const ${from * PAGE_BYTES}))
  (loop $touch
    (i32.store (local.get $j) (i32.const 1))
    (br_if $touch (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const ${PAGE})))
      (i32.const ${to * PAGE_BYTES}))))`;

/** The kernels that need a fresh instance for each iteration. */
export function growingKernels(): readonly WorstKernel[] {
  const onePage = Array.from(
    { length: 63 },
    (_, page) => `(drop (memory.grow (i32.const 1))) ${TOUCH(page + 1, page + 2)}`,
  );
  const all = "(drop (memory.grow (i32.const 63)))";
  const text = `
memory.grow by 63 pages that are touched; ${all} ${TOUCH(1, 64)}
memory.grow by a page that is touched, 63 times; ${onePage.join(" ")}
memory.grow by 63 pages that are filled; ${all}
  (memory.fill (i32.const ${PAGE_BYTES}) (i32.const 1) (i32.const ${63 * PAGE_BYTES}))
table.grow by 9,000 functions; (drop (table.grow $t (ref.func $f) (i32.const 9000)))
table.grow by a function, 900 times; ${
    "(drop (table.grow $t (ref.func $f) (i32.const 1)))".repeat(900)
  }`;
  return kernels(text, {
    memory: "1 64",
    fields: "(table $t 1 10000 funcref) (func $f) (elem declare func $f)",
    repeats: 1,
    fresh: true,
  });
}
