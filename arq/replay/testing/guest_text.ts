/** Small policies in WebAssembly text for tests of replays. */
import wabt from "wabt";
import { declares, guestText } from "../../../shield/policy/testing/guests.ts";

const HEAD = `(import "arqon_host_v1" "host_get_header" (func $header (param i32 i32) (result i32)))
  (import "arqon_host_v1" "host_get_claim" (func $claim (param i32 i32) (result i32)))
  (import "arqon_host_v1" "host_get_payload" (func $payload (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "x-plan")
  (global $next (mut i32) (i32.const 1024))
  (func (export "arqon_alloc") (param i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $next))
    (global.set $next (i32.add (global.get $next) (local.get 0)))
    (local.get $at))`;

async function assemble(body: string, abi: 1 | 2 = 1): Promise<Uint8Array<ArrayBuffer>> {
  const head = HEAD.replaceAll("arqon_host_v1", `arqon_host_v${abi}`);
  const text = `(module ${head}
    (func (export "arqon_on_message") (result i32)
      (global.set $next (i32.const 1024))
      ${body}))`;
  return await assembled(text);
}

async function assembled(text: string): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array((await wabt()).parseWat("guest.wat", text).toBinary({}).buffer);
}

/** Refuses messages without the header `x-plan`. */
export const wantsHeader = () => assemble("(i32.eqz (call $header (i32.const 0) (i32.const 6)))");
/** Refuses messages whose sender has no claim `x-plan`. */
export const wantsClaim = () => assemble("(i32.eqz (call $claim (i32.const 0) (i32.const 6)))");
/** Asks for a hundred claims in each call, and for others in the next one. */
export const asksForOthers = () =>
  assemble(`(loop $next_name
      (i32.store (i32.const 64) (i32.add (i32.load (i32.const 64)) (i32.const 1)))
      (i32.store (i32.const 0) (i32.or (i32.const 0x60606060) (i32.or
        (i32.and (i32.load (i32.const 64)) (i32.const 0xf)) (i32.or
        (i32.shl (i32.and (i32.load (i32.const 64)) (i32.const 0xf0)) (i32.const 4))
        (i32.shl (i32.and (i32.load (i32.const 64)) (i32.const 0xf00)) (i32.const 8))))))
      (drop (call $claim (i32.const 0) (i32.const 4)))
      (br_if $next_name (i32.rem_u (i32.load (i32.const 64)) (i32.const 100))))
    (i32.const 0)`);
/** Refuses messages of at least `size_bytes`. */
export const refusesFrom = (size_bytes: number) =>
  assemble(`(i32.ge_u (i32.load (call $payload)) (i32.const ${size_bytes}))`);
/** Divides by zero. */
export const traps = () => assemble("(i32.div_u (i32.const 1) (i32.const 0))");
/** Refuses every other call by its memory, which is reset for each call in version 2. */
export const alternates = (abi: 1 | 2) =>
  assemble(
    "(i32.store (i32.const 64) (i32.add (i32.load (i32.const 64)) (i32.const 1)))" +
      "(i32.eqz (i32.and (i32.load (i32.const 64)) (i32.const 1)))",
    abi,
  );

/** Refuses everything with a text, and reads nothing. */
export const refusesAll = () =>
  assembled(guestText({
    body: "(call $reject (i32.const 403) (i32.const 0) (i32.const 6)) i32.const 0",
    more: '(data (i32.const 0) "closed")',
  }));
/** Replaces each payload. */
export const saysHello = () =>
  assembled(guestText({
    abi: 2,
    body: "(call $set_payload (i32.const 0) (i32.const 5)) i32.const 0",
    more: '(data (i32.const 0) "hello")',
  }));
/** Adds the header `x-plan`. */
export const addsPlan = () =>
  assembled(guestText({
    abi: 2,
    body: "(call $add_header (i32.const 0) (i32.const 6) (i32.const 0) (i32.const 6)) i32.const 0",
    more: '(data (i32.const 0) "x-plan")',
  }));
/** Writes a tenant's value without reading it, and adds a header. */
export const writesBlindly = () =>
  assembled(guestText({
    abi: 2,
    more: `${declares([{ key: "{tenant}" }])} (data (i32.const 0) "x-a")`,
    body: `(call $state_set (i32.const 0) (i32.const 0) (i32.const 3))
      (call $add_header (i32.const 0) (i32.const 3) (i32.const 0) (i32.const 3)) i32.const 0`,
  }));

/** Long payloads write a tenant's value without reading it; while there is one, short payloads are refused. */
export const latches = (size_bytes: number) =>
  assembled(guestText({
    abi: 2,
    more: declares([{ key: "{tenant}" }]),
    body: `(if (result i32)
        (i32.ge_u (i32.load (call $get_payload)) (i32.const ${size_bytes}))
        (then (call $state_set (i32.const 0) (i32.const 0) (i32.const 3)) (i32.const 0))
        (else (i32.ne (call $state_get (i32.const 0)) (i32.const 0))))`,
  }));

/** Allows `most` calls in a minute for each user, or for each other `key`, by a count in its state. */
export async function limits(
  most: number,
  key = "{user}",
  hook = "on_message",
): Promise<Uint8Array<ArrayBuffer>> {
  const text = guestText({
    abi: 2,
    hook,
    more: `${declares([{ key }])}
      (global $at (mut i32) (i32.const 0)) (global $count (mut i32) (i32.const 0))`,
    body: `(global.set $at (call $state_get (i32.const 0)))
      (if (global.get $at)
        (then (global.set $count (i32.load offset=4 (global.get $at)))))
      (i32.store (i32.const 64) (i32.add (global.get $count) (i32.const 1)))
      (call $state_set (i32.const 0) (i32.const 64) (i32.const 4))
      (i32.ge_u (global.get $count) (i32.const ${most}))`,
  });
  return await assembled(text);
}
