/**
 * Policies of version 2 that try to pass data from one call to the next, each in one way. Each logs what it finds
 * before it writes, and must find the same in every call. Tests only.
 */
import type { GuestText } from "./guests.ts";

/** Logs the 8 bytes at address 0. */
const TELL = "(call $log (i32.const 1) (i32.const 0) (i32.const 8))";
/** Logs an i64, as bytes. */
const tell = (value: string) => `(i64.store (i32.const 0) ${value}) ${TELL}`;
const tell32 = (value: string) => tell(`(i64.extend_i32_u ${value})`);

const carriesBy = (more: string, body: string): GuestText => ({
  abi: 2,
  more,
  body: `${body} i32.const 0`,
});

/** Places in three pages of which some hold data. */
const FAR = [59_000, 60_000, 64_000, 68_992, 69_000, 100_000, 150_000, 150_008, 196_600];

/** The guests, by their way. */
export const FORGETFUL: Readonly<Record<string, GuestText>> = {
  "memory": carriesBy(
    '(data (i32.const 8192) "begin")',
    `${tell("(i64.load (i32.const 8192))")} (i64.store (i32.const 8192) (i64.const -1))`,
  ),
  "memory behind what was written at first": carriesBy(
    "",
    `${tell("(i64.load (i32.const 65528))")} (i64.store (i32.const 65528) (i64.const 7))`,
  ),
  "memory between and around bytes that lie far apart": {
    ...carriesBy(
      '(data (i32.const 60000) "begin") (data (i32.const 69000) "on") (data (i32.const 150000) "end")',
      tell(
        FAR.reduce((sum, at) => `(i64.add ${sum} (i64.load (i32.const ${at})))`, "(i64.const 0)"),
      ) +
        FAR.map((at) => `(i64.store (i32.const ${at}) (i64.const ${at}))`).join(" "),
    ),
    pages: 3,
  },
  "memory that arqon_alloc gives": carriesBy(
    "",
    `${tell32("(i32.load8_u offset=4 (i32.const 16384))")} (drop (call $get_payload))`,
  ),
  "a global i32": carriesBy(
    "(global $kept (mut i32) (i32.const 5))",
    `${tell32("(global.get $kept)")} (global.set $kept (i32.const 6))`,
  ),
  "a global i64": carriesBy(
    "(global $kept (mut i64) (i64.const 5))",
    `${tell("(global.get $kept)")} (global.set $kept (i64.const -6))`,
  ),
  "the bits of a NaN in a global f32": carriesBy(
    "(global $kept (mut f32) (f32.const nan:0x200001))",
    `${tell32("(i32.reinterpret_f32 (global.get $kept))")}
     (global.set $kept (f32.const -nan:0x200002))`,
  ),
  "the bits of a NaN in a global f64": carriesBy(
    "(global $kept (mut f64) (f64.const -nan:0x4000000000001))",
    `${tell("(i64.reinterpret_f64 (global.get $kept))")}
     (global.set $kept (f64.const nan:0x4000000000002))`,
  ),
  "an exported global": carriesBy(
    '(global $kept (export "kept") (mut i32) (i32.const 5))',
    `${tell32("(global.get $kept)")} (global.set $kept (i32.const 6))`,
  ),
  "a reference in a global": carriesBy(
    "(global $kept (mut funcref) (ref.null func)) (elem declare func $show)",
    `${tell32("(ref.is_null (global.get $kept))")} (global.set $kept (ref.func $show))`,
  ),
  "the stack pointer": carriesBy(
    '(global $sp (export "__stack_pointer") (mut i32) (i32.const 4096))',
    `${tell32("(global.get $sp)")} (global.set $sp (i32.const 4000))
     (call $reject (i32.const 403) (i32.const 0) (i32.const 0))`,
  ),
  "a table": carriesBy(
    "(table $t 2 funcref) (elem declare func $show)",
    `${tell32("(ref.is_null (table.get $t (i32.const 0)))")}
     (table.set $t (i32.const 0) (ref.func $show))`,
  ),
  "a table that grows": carriesBy(
    "(table $t 2 9 funcref)",
    `${tell32("(table.size $t)")} (drop (table.grow $t (ref.null func) (i32.const 1)))`,
  ),
  "a table that is filled": carriesBy(
    "(table $t 2 funcref) (elem declare func $show)",
    `${tell32("(ref.is_null (table.get $t (i32.const 1)))")}
     (table.fill $t (i32.const 0) (ref.func $show) (i32.const 2))`,
  ),
  "a table that is copied to": carriesBy(
    "(table $t 2 funcref) (elem (table $t) (i32.const 0) func $show)",
    `${tell32("(ref.is_null (table.get $t (i32.const 1)))")}
     (table.copy $t $t (i32.const 1) (i32.const 0) (i32.const 1))`,
  ),
  "a table that a segment fills": carriesBy(
    "(table $t 2 funcref) (elem $e func $show)",
    `${tell32("(ref.is_null (table.get $t (i32.const 1)))")}
     (table.init $t $e (i32.const 1) (i32.const 0) (i32.const 1))`,
  ),
  "a dropped data segment": carriesBy(
    '(data $d "once")',
    `(memory.init $d (i32.const 0) (i32.const 0) (i32.const 4)) ${TELL} (data.drop $d)`,
  ),
  "a dropped element segment": carriesBy(
    "(table $t 2 funcref) (elem $e func $show)",
    `(table.init $t $e (i32.const 1) (i32.const 0) (i32.const 1)) ${TELL} (elem.drop $e)`,
  ),
  "memory that has grown": carriesBy(
    "",
    `${tell32("(memory.size)")} (drop (memory.grow (i32.const 1)))`,
  ),
  "memory that grows by nothing": carriesBy(
    "",
    `${tell("(i64.load (i32.const 9000))")} (drop (memory.grow (i32.const 0)))
     (i64.store (i32.const 9000) (i64.const 7))`,
  ),
  "memory, and then a trap": carriesBy(
    "",
    `${tell("(i64.load (i32.const 9000))")} (i64.store (i32.const 9000) (i64.const 7)) unreachable`,
  ),
  "a global, and then all of its fuel": carriesBy(
    "(global $kept (mut i32) (i32.const 5))",
    `${tell32("(global.get $kept)")} (global.set $kept (i32.const 6)) (loop $l (br $l))`,
  ),
  "memory and a global, and then host_reject": carriesBy(
    "(global $kept (mut i32) (i32.const 5))",
    `${tell32("(i32.add (global.get $kept) (i32.load (i32.const 9000)))")}
     (global.set $kept (i32.const 6)) (i64.store (i32.const 9000) (i64.const 7))
     (call $reject (i32.const 451) (i32.const 0) (i32.const 0))`,
  ),
  "the depth of a stack that host_reject left": carriesBy(
    `(func $deep (param i32)
       (if (i32.eqz (local.get 0))
         (then (call $reject (i32.const 403) (i32.const 0) (i32.const 0))))
       (call $deep (i32.sub (local.get 0) (i32.const 1))))`,
    `${TELL} (call $deep (i32.const 1000))`,
  ),
};
