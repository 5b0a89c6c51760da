/**
 * Policies of version 2 of the ABI that try to cost more than their metered fuel: by their state, by replaced payloads,
 * and by the setup that each call needs. `modules.ts` has those of version 1.
 */
import { binary, declares, guestText } from "../../shield/policy/testing/guests.ts";
import type { Bytes } from "../peers/hostile_bytes.ts";

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
