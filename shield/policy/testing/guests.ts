/**
 * For the tests of host and pool: policies in the text format, metered like uploads, and unmetered ones that only tests
 * can load. Tests only.
 */
import loadWabt from "wabt";
import { meter } from "../../../wasm/metering/meter.ts";
import { type AbiVersion, HOST_MODULE } from "../abi/host_functions.ts";
import { UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import { stateKeysText } from "../../../wasm/instance/state_keys.ts";
import type { LoadableModule } from "../pool/pool_modules.ts";
import type { RunnableModule } from "../ring/worker_protocol.ts";

const wabt = await loadWabt();

/** A policy with one hook; every part is text format. */
export interface GuestText {
  /** Instructions of the hook; the last leaves an i32. */
  readonly body: string;
  readonly hook?: string;
  /** Instructions of `arqon_alloc (param $size i32) (result i32)`. */
  readonly alloc?: string;
  readonly more?: string;
  readonly pages?: number;
  /** The version of the ABI; absent: 1. */
  readonly abi?: AbiVersion;
}

/** Where the allocator of `guestText` begins; the guest's own data is below it. */
export const HEAP = 16_384;
const BUMP = "global.get $next (global.set $next (i32.add (global.get $next) (local.get $size)))";

const STATE_IMPORTS = `
    (import "arqon_host_v2" "host_state_get" (func $state_get (param i32) (result i32)))
    (import "arqon_host_v2" "host_state_set" (func $state_set (param i32 i32 i32)))
    (import "arqon_host_v2" "host_state_delete" (func $state_delete (param i32)))`;

/** Fields that declare these keys of state; their text begins at 1,024. */
export function declares(
  keys: readonly { key: string; ttl_seconds?: number; value_bytes?: number }[],
) {
  const json = JSON.stringify(
    keys.map(({ key, ttl_seconds = 60, value_bytes = 8 }) => ({ key, ttl_seconds, value_bytes })),
  );
  const length = new TextEncoder().encode(json).length;
  const head = [0, 8, 16, 24].map((bits) =>
    `\\${(length >> bits & 255).toString(16).padStart(2, "0")}`
  );
  return `(data (i32.const 1024) "${head.join("")}${json.replaceAll('"', '\\"')}")
    (func (export "arqon_state_keys") (result i32) (i32.const 1024))`;
}

const SET_PAYLOAD =
  '(import "arqon_host_v2" "host_set_payload" (func $set_payload (param i32 i32)))';

/** The whole module. It imports everything, has 64 KiB, and drops its allocations at each call. */
export function guestText(
  { body, hook = "on_message", alloc = BUMP, more = "", pages = 1, abi = 1 }: GuestText,
): string {
  const host = HOST_MODULE[abi];
  return `(module
    (import "${host}" "host_get_header" (func $get_header (param i32 i32) (result i32)))
    (import "${host}" "host_get_claim" (func $get_claim (param i32 i32) (result i32)))
    (import "${host}" "host_get_payload" (func $get_payload (result i32)))
    (import "${host}" "host_add_header" (func $add_header (param i32 i32 i32 i32)))
    (import "${host}" "host_log" (func $log (param i32 i32 i32)))
    (import "${host}" "host_reject" (func $reject (param i32 i32 i32)))
    ${abi === 2 ? STATE_IMPORTS + SET_PAYLOAD : ""}
    (memory (export "memory") ${pages})
    (global $next (mut i32) (i32.const ${HEAP}))
    (global $calls (mut i32) (i32.const 0))
    ;; Logs what a host function returned: "absent" is nothing at all.
    (func $show (param $at i32)
      (if (local.get $at) (then
        (call $log (i32.const 1)
          (i32.add (local.get $at) (i32.const 4))
          (i32.load (local.get $at))))))
    (func (export "arqon_alloc") (param $size i32) (result i32) ${alloc})
    ${more}
    (func (export "arqon_${hook}") (result i32) (local $i i32)
      (global.set $next (i32.const ${HEAP}))
      ${body}))`;
}

/** Text to binary. */
export function binary(text: string): Uint8Array<ArrayBuffer> {
  const parsed = wabt.parseWat("guest.wat", text);
  try {
    return new Uint8Array(parsed.toBinary({}).buffer);
  } finally {
    parsed.destroy();
  }
}

/** A metered policy. */
export function meteredGuest(guest: GuestText): Uint8Array<ArrayBuffer> {
  return metered(guest).bytes;
}

function metered(guest: GuestText) {
  return meter(binary(guestText(guest)), { memory_limit_pages: 64, renewed: guest.abi === 2 });
}

/** A metered policy for a pool's `load`. */
export function loadableGuest(guest: GuestText): LoadableModule {
  const { bytes, cost, renewal } = metered(guest);
  const compiled = new WebAssembly.Module(bytes);
  const { instance_fuel } = cost;
  return { compiled, state_keys: stateKeysText(compiled), instance_fuel, renewal };
}

/** A metered policy for a worker. */
export function runnableGuest(guest: GuestText): RunnableModule {
  const { bytes, cost, renewal } = metered(guest);
  const compiled = new WebAssembly.Module(bytes);
  return { compiled, instance_units: cost.instance_fuel * UNITS_PER_FUEL, renewal };
}

/** A policy that looks metered but charges nothing, for a pool's `load`. No upload has this form. */
export function unmeteredGuest(guest: GuestText): LoadableModule {
  const fuel = `(global $fuel (export "arqon_fuel") (mut i64) (i64.const 0))
    (global (export "arqon_height") (mut i32) (i32.const 0))`;
  const bytes = binary(guestText({ ...guest, more: `${guest.more ?? ""} ${fuel}` }));
  return { compiled: new WebAssembly.Module(bytes), state_keys: "", instance_fuel: 1 };
}

/** A body that runs until its fuel is used up. */
export const FOREVER = "(loop $l (br $l)) i32.const 0";
/**
 * A body of an unmetered guest that takes some ten seconds of a core. It ends at last, because Deno 2.9 does not
 * end a thread in an endless loop (denoland/deno#35657), which would take a core from all tests that follow.
 */
export const WEDGES = `(loop $l (global.set $fuel (i64.add (global.get $fuel) (i64.const 1)))
  (br_if $l (i64.lt_u (global.get $fuel) (i64.const ${2 ** 34})))) i32.const 0`;
