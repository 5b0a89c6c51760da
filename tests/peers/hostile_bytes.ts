/** Builds policies for tests from a few lines of WebAssembly text. */
import { fromText } from "../../wasm/testing/bytes.ts";

/** The bytes of a module. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** Allocates the next bytes behind the data, as an honest `arqon_alloc` does. */
const BUMP = "(global.get $top) (global.set $top (i32.add (global.get $top) (local.get 0)))";

/** The parts of a policy that a hostile one replaces, in WebAssembly text. */
export interface Guest {
  /** Body of `arqon_on_message`: leaves an i32. */
  readonly hook: string;
  /** Body of `arqon_alloc`, whose parameter is local 0: leaves an i32. */
  readonly alloc?: string;
  /** Additional fields of the module. */
  readonly more?: string;
  /** Limits of the memory, in pages. */
  readonly memory?: string;
  /** The version of the ABI; default 1. */
  readonly abi?: 1 | 2;
}

const SET_PAYLOAD =
  '(import "arqon_host_v2" "host_set_payload" (func $set_payload (param i32 i32)))';

/** A policy for `on_message`; its text is at address 0, 16 bytes each. */
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
