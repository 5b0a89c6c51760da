/**
 * The table of hostile modules: what each one is, how it is made, and what must become
 * of it. Refused at upload with a sentence, or in force and able to block its own tenant's messages
 * and nothing else. `hostile_test.ts` runs it on a real bus.
 */
import type { PolicyFault } from "../../shield/message/verdict.ts";
import { plainPolicy } from "../../shield/policy/testing/instances.ts";
import { fromText } from "../../wasm/testing/bytes.ts";
import {
  addsHeader,
  bomb,
  type Bytes,
  dearest,
  deepNesting,
  guest,
  manyFunctions,
  memories,
  tableOf,
  truncated,
} from "./hostile_bytes.ts";

/** The upload is answered with a problem whose detail is a sentence that matches. */
export interface RefusedUpload {
  readonly at: "upload";
  readonly status: 400 | 413;
  readonly detail: RegExp;
}

/** The tenant's messages are refused: by the policy itself (403), or because it cannot decide (503). */
export interface BlockedMessage {
  readonly at: "message";
  readonly code: 403 | 503;
  /** As in the metrics; absent when the policy itself refuses. */
  readonly fault?: PolicyFault;
}

/** Runs up to its limits and is no trouble: the message passes. */
export interface AllowedMessage {
  readonly at: "message";
  readonly code: 0;
}

/** One hostile module. */
export interface HostileModule {
  /** Also the name of its policy and of its tenant. */
  readonly name: string;
  readonly make: () => Bytes;
  readonly outcome: RefusedUpload | BlockedMessage | AllowedMessage;
}

const refused = (name: string, make: () => Bytes, detail: RegExp): HostileModule => ({
  name,
  make,
  outcome: { at: "upload", status: 400, detail },
});
const tooLarge = (name: string, make: () => Bytes): HostileModule => ({
  name,
  make,
  outcome: { at: "upload", status: 413, detail: /has more than 1114112 bytes/ },
});
const faulty = (name: string, fault: PolicyFault, make: () => Bytes): HostileModule => ({
  name,
  make,
  outcome: { at: "message", code: 503, fault },
});
const rejecting = (name: string, make: () => Bytes): HostileModule => ({
  name,
  make,
  outcome: { at: "message", code: 403 },
});
const harmless = (name: string, make: () => Bytes): HostileModule => ({
  name,
  make,
  outcome: { at: "message", code: 0 },
});

const hook = (text: string, more = "") => () => guest({ hook: text, more });
const alloc = (text: string, more = "") => () =>
  guest({
    hook: "(drop (call $get_header (i32.const 0) (i32.const 12))) (i32.const 0)",
    alloc: text,
    more,
  });

const NO_BINARY = () => new TextEncoder().encode("#!/bin/sh\necho this is no module\n");
const MEBIBYTE = 1_048_576;

/** What does not get in. */
const UPLOADS: readonly HostileModule[] = [
  refused(
    "bomb-49000-locals-2000-loops",
    () => bomb(49_000, 2_000),
    /has 49000 locals; 1024 are allowed/,
  ),
  refused("bomb-1000-locals-20000-loops", () => bomb(1_000, 20_000), /too complex to compile/),
  refused("truncated", truncated, /unexpected end of the bytes/),
  tooLarge("fifty-megabytes", () => new Uint8Array(50 * MEBIBYTE)),
  refused(
    "over-a-mebibyte",
    () => new Uint8Array(MEBIBYTE + 1),
    /has 1048577 bytes; 1048576 are allowed/,
  ),
  refused(
    "functions-100000",
    () => manyFunctions(100_000),
    /has 100000 functions; 10000 are allowed/,
  ),
  refused(
    "table-of-a-billion",
    () => tableOf(1_000_000_000),
    /start with 1000000000 entries; 10000 are allowed/,
  ),
  tooLarge("nesting-1000000", () => deepNesting(1_000_000)),
  refused("nesting-300000", () => deepNesting(300_000), /body has 900002 bytes; 65536 are allowed/),
  refused("nesting-20000", () => deepNesting(20_000), /loops nest deeper than 256/),
  refused(
    "imports-wasi",
    () =>
      fromText(`(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
        (memory (export "memory") 1))`),
    /"wasi_snapshot_preview1"\."proc_exit" is WASI/,
  ),
  refused(
    "imports-memory",
    () => fromText(`(module (import "env" "memory" (memory 1)))`),
    /memory is imported/,
  ),
  refused(
    "imports-stranger",
    () => fromText(`(module (import "env" "abort" (func)) (memory (export "memory") 1))`),
    /"env"\."abort".*unknown/,
  ),
  refused(
    "no-hook",
    () =>
      fromText(`(module (memory (export "memory") 1)
        (func (export "arqon_alloc") (param i32) (result i32) (i32.const 8)))`),
    /No hook is exported/,
  ),
  refused("exports-120000", () => plainPolicy({ exports: 120_000 }), /its 120003 exports; at most/),
  refused("entries-90000", () => plainPolicy({ elements: [9, 10_000] }), /90000 entries; at most/),
  refused("two-memories", () => memories(2), /several memories/),
  refused("no-wasm", NO_BINARY, /this is not WebAssembly: no magic number/),
  refused("nothing-at-all", () => new Uint8Array(0), /unexpected end of the bytes/),
  refused(
    "memory-of-4-gib",
    () => guest({ hook: "(i32.const 0)", memory: "65536" }),
    /starts with 65536 pages/,
  ),
  refused(
    "own-fuel",
    () =>
      guest({ hook: "(i32.const 0)", more: '(global (export "arqon_fuel") i64 (i64.const 0))' }),
    /"arqon_fuel" is reserved/,
  ),
];

const FOREVER = "(loop (br 0)) (i32.const 0)";
const SELF = "(type $t (func (result i32))) (table 1 funcref) (elem (i32.const 0) $self)";

/** What gets in and never comes to an end by itself. */
const ENDLESS: readonly HostileModule[] = [
  faulty("loop-plain", "fuel", hook(FOREVER)),
  faulty("loop-br-table", "fuel", hook("(loop (br_table 0 0 0 (i32.const 7))) (i32.const 0)")),
  faulty("recursion", "trap", hook("(call $f)", "(func $f (result i32) (call $f))")),
  faulty(
    "recursion-by-two",
    "trap",
    hook(
      "(call $f) (i32.const 0)",
      "(func $f (local i64 i64 i64) (call $g)) (func $g (call $f))",
    ),
  ),
  faulty(
    "recursion-as-a-tree",
    "fuel",
    hook(
      "(call $f (i32.const 60))",
      `(func $f (param i32) (result i32) (if (result i32) (local.get 0)
        (then (i32.add (call $f (i32.sub (local.get 0) (i32.const 1)))
          (call $f (i32.sub (local.get 0) (i32.const 1))))) (else (i32.const 0))))`,
    ),
  ),
  refused(
    "loop-in-start",
    hook("(i32.const 0)", "(start $s) (func $s (loop (br 0)))"),
    /start section/,
  ),
  refused(
    "start-asks-the-host",
    hook("(i32.const 0)", "(start $s) (func $s (drop (call $get_payload)))"),
    /start section/,
  ),
  faulty("loop-in-alloc", "fuel", alloc(FOREVER)),
  faulty(
    "grows-without-end",
    "fuel",
    hook("(loop (drop (memory.grow (i32.const 1))) (br 0)) (i32.const 0)"),
  ),
  faulty(
    "grows-by-nothing",
    "fuel",
    hook("(loop (drop (memory.grow (i32.const 0))) (br 0)) (i32.const 0)"),
  ),
  faulty(
    "table-grows-without-end",
    "fuel",
    hook(
      "(loop (drop (table.grow $t (ref.null func) (i32.const 100))) (br 0)) (i32.const 0)",
      "(table $t 1 funcref)",
    ),
  ),
  faulty("fills-4-mib", "fuel", () =>
    guest({
      memory: "64",
      hook: `(loop (memory.fill (i32.const 0) (i32.const 7) (i32.const 4194304)) (br 0))
        (i32.const 0)`,
    })),
  faulty("copies-2-mib", "fuel", () =>
    guest({
      memory: "64",
      hook: `(loop (memory.copy (i32.const 0) (i32.const 2097152) (i32.const 2097152)) (br 0))
        (i32.const 0)`,
    })),
  faulty(
    "calls-itself-through-table",
    "trap",
    hook(
      "(call_indirect (type $t) (i32.const 0))",
      `${SELF} (func $self (result i32) (call_indirect (type $t) (i32.const 0)))`,
    ),
  ),
  faulty(
    "logs-a-million-lines",
    "fuel",
    hook(
      `(local $n i32) (loop (call $log (i32.const 1) (i32.const 16) (i32.const 9))
        (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1)))
          (i32.const 1000000)))) (i32.const 0)`,
    ),
  ),
];

/** What traps on purpose. */
const TRAPS: readonly HostileModule[] = [
  faulty("traps-unreachable", "trap", hook("(unreachable)")),
  faulty("traps-division", "trap", hook("(i32.div_u (i32.const 1) (i32.const 0))")),
  faulty("traps-load", "trap", hook("(i32.load (i32.const 65533))")),
  faulty("traps-conversion", "trap", hook("(i32.trunc_f64_u (f64.const -1))")),
  faulty(
    "traps-null-call",
    "trap",
    hook("(call_indirect (result i32) (i32.const 0))", "(table 1 funcref)"),
  ),
  faulty("traps-segment", "trap", hook("(i32.const 0)", '(data (i32.const 65535) "xx")')),
];

const rejects = (text: string) => hook(`(call $reject ${text}) (i32.const 0)`);

/** What breaks the ABI. */
const LIARS: readonly HostileModule[] = [
  faulty("alloc-out-of-range", "abi", alloc("(i32.const 0x7fffffff)")),
  faulty("alloc-minus-one", "abi", alloc("(i32.const -1)")),
  faulty("alloc-across-the-end", "abi", alloc("(i32.const 65530)")),
  faulty("alloc-zero", "memory", alloc("(i32.const 0)")),
  faulty("alloc-asks-the-host", "abi", alloc("(call $get_payload)")),
  faulty("alloc-traps", "trap", alloc("(unreachable)")),
  // The value lies over the name that was asked for, which is then added as a header's name.
  faulty("alloc-overlaps", "abi", () =>
    guest({
      alloc: "(i32.const 16)",
      hook: `(drop (call $get_header (i32.const 0) (i32.const 12)))
        (call $add_header (i32.const 16) (i32.const 9) (i32.const 32) (i32.const 7)) (i32.const 0)`,
    })),
  faulty(
    "pointer-out-of-range",
    "abi",
    hook("(drop (call $get_header (i32.const 65536) (i32.const 1))) (i32.const 0)"),
  ),
  faulty(
    "length-across-the-end",
    "abi",
    hook("(call $log (i32.const 1) (i32.const 65535) (i32.const 2)) (i32.const 0)"),
  ),
  faulty(
    "length-of-4-gib",
    "fuel",
    hook("(drop (call $get_header (i32.const 0) (i32.const -1))) (i32.const 0)"),
  ),
  faulty(
    "log-of-4-gib",
    "fuel",
    hook("(call $log (i32.const 1) (i32.const 0) (i32.const -1)) (i32.const 0)"),
  ),
  faulty(
    "header-of-4-gib",
    "fuel",
    hook(`(call $add_header (i32.const -1) (i32.const -1) (i32.const -1) (i32.const -1))
      (i32.const 0)`),
  ),
  faulty("reason-of-4-gib", "fuel", rejects("(i32.const 403) (i32.const 0) (i32.const -1)")),
  faulty("reason-out-of-range", "abi", rejects("(i32.const 403) (i32.const -1) (i32.const 1)")),
  faulty("reject-code-0", "abi", rejects("(i32.const 0) (i32.const 32) (i32.const 7)")),
  faulty("reject-code-70000", "abi", rejects("(i32.const 70000) (i32.const 32) (i32.const 7)")),
  faulty("reject-code-200", "abi", rejects("(i32.const 200) (i32.const 32) (i32.const 7)")),
  rejecting("returns-minus-one", hook("(i32.const -1)")),
  rejecting("returns-a-pointer", hook("(call $get_payload)")),
  faulty(
    "headers-10000",
    "abi",
    hook(
      `(local $n i32) (loop
        (call $add_header (i32.const 16) (i32.const 9) (i32.const 32) (i32.const 7))
        (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1)))
          (i32.const 10000)))) (i32.const 0)`,
    ),
  ),
  faulty("header-without-name", "abi", () => addsHeader("")),
  faulty("header-with-space", "abi", () => addsHeader("x hostile")),
  faulty("header-with-colon", "abi", () => addsHeader("x:hostile")),
  faulty("header-with-line-end", "abi", () => addsHeader("x\\0d\\0aset-cookie")),
  faulty("header-of-the-gateway", "abi", () => addsHeader("X-Arqon-Shadow")),
  faulty("header-not-utf8", "abi", () => addsHeader("x-\\ff\\fe")),
  faulty("value-with-line-end", "abi", () => addsHeader("x-hostile", "a\\0d\\0ab: c")),
  faulty("value-of-60000", "abi", () =>
    guest({
      hook: `(call $add_header (i32.const 16) (i32.const 9) (i32.const 64) (i32.const 60000))
        (i32.const 0)`,
    })),
];

/** As much work for the compiler as a module may be, and all of it run. */
const DEAREST: readonly HostileModule[] = [
  harmless("dearest-1000-locals", () => dearest(9, 1_000, 300)),
];

/** Every hostile module. */
export const HOSTILE_MODULES: readonly HostileModule[] = [
  ...UPLOADS,
  ...ENDLESS,
  ...TRAPS,
  ...LIARS,
  ...DEAREST,
];
