/**
 * Policies that try to cost more than their metered fuel, as WebAssembly text. A tenant may upload them; `gallery.ts`
 * shows the effect. `wasm/metering/meter_test.ts` and `shield/policy/abi/` have modules that are merely wrong.
 */
import { binary, declares, guestText } from "../../shield/policy/testing/guests.ts";
import { type Bytes, guest } from "../peers/hostile_bytes.ts";

const PAGE_BYTES = 65_536;
/** The maximum number of pages of a policy. */
const PAGES = 64;
/** Unrolled repetitions in each round of a loop. */
const UNROLLED = 100;

/** Requests a header whose name fills the memory with alternating capitals and small letters. */
export function longHeaderName(): Bytes {
  const start = PAGE_BYTES;
  const half_bytes = PAGES * PAGE_BYTES / 2;
  const rest_bytes = half_bytes - 2 * PAGE_BYTES;
  return guest({
    memory: String(PAGES),
    more: `(data (i32.const ${start}) "${"aB".repeat(128)}")`,
    hook: `(local i32) (local.set 0 (i32.const 256))
      (loop $double
        (memory.copy (i32.add (i32.const ${start}) (local.get 0)) (i32.const ${start}) (local.get 0))
        (local.set 0 (i32.shl (local.get 0) (i32.const 1)))
        (br_if $double (i32.lt_u (local.get 0) (i32.const ${half_bytes}))))
      (memory.copy (i32.const ${start + half_bytes}) (i32.const ${start}) (i32.const ${rest_bytes}))
      (drop (call $get_header (i32.const ${start}) (i32.const ${half_bytes + rest_bytes})))
      (i32.const 0)`,
  });
}

/** A policy that repeats the step a hundred times in each round, then allows. Local 1 is for the work. */
function repeated(rounds: number, type: string, first: string, step: string): Bytes {
  return guest({
    hook: `(local i32 ${type}) (local.set 1 ${first})
      (loop $again ${step.repeat(UNROLLED)}
        (local.set 0 (i32.add (local.get 0) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get 0) (i32.const ${rounds})))) (i32.const 0)`,
  });
}

/** Multiplies subnormal numbers, which may take a processor a hundred times longer. */
export function subnormals(rounds: number): Bytes {
  const number = "(f64.const 0x1p-1040)";
  const product = "(f64.mul (local.get 1) (f64.const 0.75))";
  return repeated(rounds, "f64", number, `(local.set 1 (f64.add ${product} ${number}))`);
}

/** Writes eight bytes across the border of two pages of the machine. */
export function crossingStores(rounds: number): Bytes {
  return repeated(rounds, "i64", "(i64.const 1)", "(i64.store (i32.const 8189) (local.get 1))");
}

/** Counts and allows: honest, but expensive when a chain has many of it. */
export function burner(rounds: number): Bytes {
  const count = "(local.set 1 (i64.add (local.get 1) (i64.const 1)))";
  return repeated(rounds, "i64", "(i64.const 0)", count);
}

/** Traps at once, so that the next message needs a new instance, which has that many exports. */
export function trapWithExports(exports: number): Bytes {
  // Short names, since the module's size is limited.
  const names = Array.from({ length: exports }, (_none, at) => `(export "${at.toString(36)}")`);
  return guest({ more: `(func $none ${names.join("")})`, hook: "(unreachable)" });
}

/** Traps at once; its next instance fills a table that often. */
export function trapWithTable(entries: number, times: number): Bytes {
  const segment = `(elem (i32.const 0) func ${"$none ".repeat(entries)})`;
  return guest({
    more: `(func $none) (table ${entries} funcref) ${segment.repeat(times)}`,
    hook: "(unreachable)",
  });
}

/**
 * Close to each limit of the compiler: many values that live across many loops, and as much straight-line code as a
 * module may have. `number` makes each module different.
 */
export function slowToCompile(number: number): Bytes {
  const locals = 1_000;
  const loops = "(loop (br_if 0 (i64.ne (local.get 0) (i64.const 0))))".repeat(300);
  const sum = Array.from(
    { length: locals },
    (_none, at) => `(local.set 0 (i64.add (local.get 0) (local.get ${at})))`,
  ).join("");
  const crowded = `(func (local ${"i64 ".repeat(locals)}) ${loops} ${sum})`;
  const straight = `(func (param i64) (result i64) (local.get 0)
    ${"(i64.mul (local.get 0)) (i64.add (local.get 0))".repeat(8_000)})`;
  return guest({
    more: `${crowded.repeat(9)} ${straight.repeat(9)}
      (func (result i32) (i32.const ${number}))`,
    hook: "(i32.const 0)",
  });
}

// Of version 2 of the ABI: by their state, by replaced payloads, and by the setup that each call needs.

/** The maximum of a declaration. */
const SLOTS = [0, 1, 2, 3];
const KEY_CHARACTERS = 512;
const LIMITS = { ttl_seconds: 86_400, value_bytes: 4_096 };

const repeat = (rounds: number, step: string) => `
  (loop $again ${step}
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $i) (i32.const ${rounds}))))
  (i32.const 0)`;

/** Reads, writes and deletes the largest values under four of the longest keys, which differ for each type. */
export function stateHammer(rounds: number): Bytes {
  const keys = SLOTS.map((slot) => ({
    ...LIMITS,
    key: `{type}/{user}/${slot}`.padEnd(KEY_CHARACTERS, "k"),
  }));
  const step = SLOTS.map((slot) => `
    (global.set $next (i32.const 16384))
    (drop (call $state_get (i32.const ${slot})))
    (call $state_delete (i32.const ${slot}))
    (call $state_set (i32.const ${slot}) (i32.const 8192) (i32.const ${LIMITS.value_bytes}))`);
  const body = repeat(rounds, step.join(""));
  return binary(guestText({ abi: 2, more: declares(keys), body }));
}

/** A slow policy that keeps one value for all users of a room, so each call of the tenant waits for it. */
export function sharedKey(rounds: number): Bytes {
  const count = "(i32.store (i32.const 8192) (i32.mul (local.get $i) (local.get $i)))".repeat(100);
  const keep = "(call $state_set (i32.const 0) (i32.const 8192) (i32.const 8))";
  const body = `${keep} ${repeat(rounds, count)}`;
  return binary(guestText({ abi: 2, more: declares([{ key: "{room}" }]), body }));
}

/** Replaces the payload with a large one repeatedly. */
export function payloadHammer(rounds: number): Bytes {
  const body = repeat(rounds, "(call $set_payload (i32.const 0) (i32.const 60000))");
  return binary(guestText({ abi: 2, body }));
}

/** Its initialisation never ends. */
export function endlessInit(): Bytes {
  const more = '(func (export "arqon_init") (loop $again (br $again)))';
  return binary(guestText({ abi: 2, more, body: "(i32.const 0)" }));
}

/** Initialises itself for nearly as long as is allowed, and wastes each instance, so each call needs a new one. */
export function wastedInit(): Bytes {
  const more = `(func (export "arqon_init") (local $i i32)
    ${repeat(250_000, "").replace("(i32.const 0)", "")})`;
  return binary(guestText({ abi: 2, more, body: "(unreachable)" }));
}

/** Grows its memory to the limit in each call, so the next call cannot reuse the instance. */
export function growing(): Bytes {
  const body = "(drop (memory.grow (i32.const 63))) (i32.const 0)";
  return binary(guestText({ abi: 2, body }));
}
