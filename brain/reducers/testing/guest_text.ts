/** Reducers in the text format: modules that import every function of a room. For tests only. */
import { fromText } from "../../../wasm/testing/bytes.ts";
import { ROOM_FUNCTIONS } from "../../../wasm/reducer/room_abi.ts";
import type { GuestText } from "./hostile_reducers.ts";

const TYPES = { i: "i32", I: "i64" } as const;

const list = (word: string, letters: string) =>
  letters === ""
    ? ""
    : `(${word} ${Array.from(letters, (one) => TYPES[one as "i" | "I"]).join(" ")})`;

const IMPORTS = Object.entries(ROOM_FUNCTIONS).map(([name, [parameters, results]]) =>
  `(import "arqon_room_v1" "${name}" (func $${name} ${list("param", parameters)} ${
    list("result", results)
  }))`
).join("\n");

/** The default memory of `arqon_alloc`: behind the data of the tests. */
const ALLOC = `(global $next (mut i32) (i32.const 8192))
  (func (export "arqon_alloc") (param i32) (result i32)
    global.get $next
    (global.set $next (i32.add (global.get $next) (local.get 0))))`;

/** The module of a reducer's text. */
export function moduleOf(
  { apply, alloc = ALLOC, more = "" }: GuestText,
  pages = 1,
): Uint8Array<ArrayBuffer> {
  return fromText(`(module ${IMPORTS} (memory (export "memory") ${pages}) ${alloc} ${more}
    (func (export "arqon_apply") (result i32) ${apply}))`);
}

/** A module that applies every command and does nothing. */
export const PLAIN = moduleOf({ apply: `(i32.const 0)` });

/** Sets one timer, for the soonest time, whose command sets none. */
export const ONCE = moduleOf({
  apply: `(local $name i32)
    (local.set $name (call $room_field (i32.const 0)))
    (if (i32.ne (i32.load8_u (i32.add (local.get $name) (i32.const 4))) (i32.const 33))
      (then (i32.store8 (i32.const 100) (i32.const 33))
        (call $room_schedule (i32.const 100) (i32.const 1) (i64.add (call $room_now) (i64.const 10))
          (i32.const 100) (i32.const 1) (i32.const 0) (i32.const 0))))
    (i32.const 0)`,
});
