/**
 * Builds binaries for the tests of this folder: sections byte by byte, for binaries that no compiler
 * would write, and whole modules from text. Production code uses `encode.ts`.
 */
import wabt from "wabt";
import { Writer } from "../module/writer.ts";

const TEXT_FEATURES = {
  mutable_globals: true,
  sat_float_to_int: true,
  sign_extension: true,
  multi_value: true,
  bulk_memory: true,
  reference_types: true,
};

const { parseWat } = await wabt();

/** The binary of a module in the text format; not validated, with its names. */
export function fromText(text: string): Uint8Array<ArrayBuffer> {
  const parsed = parseWat("test.wat", text, TEXT_FEATURES);
  try {
    return Uint8Array.from(parsed.toBinary({ write_debug_names: true }).buffer);
  } finally {
    parsed.destroy();
  }
}

/** A number as an unsigned LEB128. */
export function leb(value: number): number[] {
  const writer = new Writer();
  writer.u32(value);
  return [...writer.view()];
}

/** Magic number, version 1 and sections. */
export function moduleOf(...sections: readonly (readonly number[])[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0], ...sections].flat());
}

/** A section of an id and its content. */
export function section(id: number, content: readonly number[]): number[] {
  return [id, ...leb(content.length), ...content];
}

/** A section that is a count and items. */
export function listOf(id: number, ...items: readonly (readonly number[])[]): number[] {
  return section(id, [...leb(items.length), ...items.flat()]);
}

/** An entry of the code section: no locals unless `locals` declares some. */
export function body(code: readonly number[], locals: readonly number[] = [0]): number[] {
  return [...leb(locals.length + code.length), ...locals, ...code];
}

/** A module of one function `() -> ()` and a memory; `code` ends with its own 0x0b. */
export function moduleWith(
  code: readonly number[],
  locals: readonly number[] = [0],
): Uint8Array<ArrayBuffer> {
  const memory = listOf(5, [0, 1]);
  return moduleOf(listOf(1, [0x60, 0, 0]), listOf(3, [0]), memory, listOf(10, body(code, locals)));
}

/** A module that uses every kind of section, segment and immediate once. */
export const EVERYTHING = `(module $everything
  (type $binary (func (param i32 i32) (result i32)))
  (import "env" "f" (func $f (type $binary)))
  (import "env" "t" (table $imported 1 2 funcref))
  (import "env" "g" (global $constant i32))
  (table $functions 4 8 funcref)
  (table $others 2 externref)
  (memory $m 1 2)
  (global $count (mut i64) (i64.const -9223372036854775808))
  (global $half (mut f32) (f32.const nan:0x200001))
  (global $whole f64 (f64.const -nan:0x4000000000001))
  (global $from i32 (global.get $constant))
  (global $ref funcref (ref.func $main))
  (export "main" (func $main))
  (export "memory" (memory $m))
  (export "functions" (table $functions))
  (export "count" (global $count))
  (start $begin)
  (elem $first (table $functions) (i32.const 0) func $main $f)
  (elem $passive func $begin)
  (elem $expressions funcref (ref.func $main) (ref.null func))
  (elem declare func $two)
  (elem $extern (table $others) (i32.const 0) externref (ref.null extern))
  (data $hello (i32.const 8) "hello")
  (data $later "later")
  (func $begin)
  (func $two (result i32 i64) i32.const -1 i64.const 9223372036854775807)
  (func $main (type $binary) (local $a i32) (local $b i64) (local $c i64) (local $d externref)
    (block $out (result i32)
      (loop $again
        local.get 0
        br_if $again
        local.get 1
        (br_table $again $again $again (local.get 0)))
      unreachable)
    (if (param i32) (result i32) (local.get 0)
      (then i32.const 1 i32.add)
      (else i32.eqz))
    drop
    (call $two) global.set $count drop
    (f64.const inf) i64.trunc_sat_f64_u local.set $b
    (memory.init $later (i32.const 0) (i32.const 0) (i32.const 5))
    (data.drop $later)
    (memory.copy (i32.const 0) (i32.const 8) (i32.const 5))
    (memory.fill (i32.const 0) (i32.const 7) (i32.const 5))
    (table.init $functions $passive (i32.const 0) (i32.const 0) (i32.const 1))
    (elem.drop $passive)
    (table.copy $functions $functions (i32.const 0) (i32.const 1) (i32.const 1))
    (table.set $others (i32.const 0) (table.get $others (i32.const 1)))
    (drop (table.grow $functions (ref.func $two) (i32.const 1)))
    (table.fill $functions (i32.const 0) (ref.null func) (i32.const 1))
    (drop (select (result externref) (local.get $d) (ref.null extern) (i32.const 1)))
    (drop (select (f32.const 0.5) (global.get $half) (ref.is_null (local.get $d))))
    (i64.store32 offset=16 align=2 (memory.size) (i64.extend8_s (local.tee $c (local.get $b))))
    (drop (memory.grow (table.size $functions)))
    (i32.load8_u offset=4294967295 (i32.const 0))
    (call_indirect $functions (type $binary) (i32.const 2) (i32.const 0))
    return))`;
