/**
 * Makes the modules of `hostile_modules.ts`: policies from a few lines of WebAssembly text, and
 * binaries byte by byte where text cannot say it. What each of them proves stands in the table.
 */
import { fromText, leb, moduleOf, section } from "../../wasm/testing/bytes.ts";

/** The bytes of a module. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** Takes the next bytes behind the data, as an honest `arqon_alloc` does. */
const BUMP = "(global.get $top) (global.set $top (i32.add (global.get $top) (local.get 0)))";

/** The parts of a policy that a hostile one has its own way with, in WebAssembly text. */
export interface Guest {
  /** Body of `arqon_on_message`: leaves an i32. */
  readonly hook: string;
  /** Body of `arqon_alloc`, whose parameter is local 0: leaves an i32. */
  readonly alloc?: string;
  /** Fields of the module besides the usual ones. */
  readonly more?: string;
  /** Limits of the memory, in pages. */
  readonly memory?: string;
  /** The version of the ABI; 1 when left out. */
  readonly abi?: 1 | 2;
}

const SET_PAYLOAD =
  '(import "arqon_host_v2" "host_set_payload" (func $set_payload (param i32 i32)))';

/** A policy for `on_message`; text for it stands at address 0, 16 bytes each. */
export function guest({ hook, alloc = BUMP, more = "", memory = "1", abi = 1 }: Guest): Bytes {
  const host = `arqon_host_v${abi}`;
  return fromText(`(module
    (import "${host}" "host_get_header"
      (func $get_header (param i32 i32) (result i32)))
    (import "${host}" "host_get_payload" (func $get_payload (result i32)))
    (import "${host}" "host_add_header" (func $add_header (param i32 i32 i32 i32)))
    (import "${host}" "host_log" (func $log (param i32 i32 i32)))
    (import "${host}" "host_reject" (func $reject (param i32 i32 i32)))
    ${abi === 1 ? "" : SET_PAYLOAD}
    (memory (export "memory") ${memory})
    (global $top (mut i32) (i32.const 4096))
    (data (i32.const 0) "x-arqon-user")
    (data (i32.const 16) "x-hostile")
    (data (i32.const 32) "a value")
    (func (export "arqon_alloc") (param i32) (result i32) ${alloc})
    ${more}
    (func (export "arqon_on_message") (result i32) ${hook}))`);
}

/** A policy that adds one header, with these bytes (escaped as in WebAssembly text). */
export function addsHeader(name: string, value = "a value"): Bytes {
  const size_bytes = (text: string) => text.replace(/\\[0-9a-f]{2}/g, ".").length;
  return guest({
    more: `(data (i32.const 64) "${name}") (data (i32.const 128) "${value}")`,
    hook: `(call $add_header (i32.const 64) (i32.const ${size_bytes(name)})
      (i32.const 128) (i32.const ${size_bytes(value)})) (i32.const 0)`,
  });
}

/** A policy that pays no attention to anything but has this many locals and loops. */
export function bomb(locals: number, loops: number): Bytes {
  const text = `(local ${"i64 ".repeat(locals)}) ${"(loop)".repeat(loops)}`;
  return guest({ hook: "(i32.const 0)", more: `(func ${text})` });
}

/**
 * The same within the limits, and run: so many functions that each keep all their locals alive
 * across every loop, and are called one after another before the hook allows.
 */
export function dearest(functions: number, locals: number, loops: number): Bytes {
  const index = Array.from({ length: functions }, (_none, at) => at);
  const sum = Array.from(
    { length: locals },
    (_none, at) => `(local.set 0 (i64.add (local.get 0) (local.get ${at})))`,
  ).join("");
  const body = `(local ${"i64 ".repeat(locals)})
    ${"(loop (br_if 0 (i64.ne (local.get 0) (i64.const 0))))".repeat(loops)} ${sum}`;
  return guest({
    more: index.map((at) => `(func $f${at} ${body})`).join(""),
    hook: `${index.map((at) => `(call $f${at})`).join("")} (i32.const 0)`,
  });
}

const TYPE_SECTION = section(1, [1, 0x60, 0, 0]);

/** A module of so many functions that do nothing. */
export function manyFunctions(count: number): Bytes {
  const bodies = Array.from({ length: count }, () => [2, 0, 0x0b]).flat();
  const types = Array<number>(count).fill(0);
  return moduleOf(
    TYPE_SECTION,
    section(3, [...leb(count), ...types]),
    section(10, [...leb(count), ...bodies]),
  );
}

/** A module of one function with blocks nested that deep; two bytes and one for each. */
export function deepNesting(depth: number): Bytes {
  const opened = Array.from({ length: depth }, () => [0x03, 0x40]).flat();
  const body = [0, ...opened, ...Array<number>(depth + 1).fill(0x0b)];
  return moduleOf(
    TYPE_SECTION,
    section(3, [1, 0]),
    section(10, [1, ...leb(body.length), ...body]),
  );
}

/** A module that declares these memories. */
export function memories(count: number): Bytes {
  return moduleOf(section(5, [count, ...Array.from({ length: count }, () => [0, 1]).flat()]));
}

/** A module with a table of that many entries. */
export function tableOf(entries: number): Bytes {
  return moduleOf(section(4, [1, 0x70, 0, ...leb(entries)]));
}

/** The start of a good module. */
export function truncated(): Bytes {
  const whole = guest({ hook: "(i32.const 0)" });
  return whole.slice(0, Math.floor(whole.length / 2));
}
