/** Hostile policies, and the faults that they may cause. Tests only. */
import { declares, FOREVER, type GuestText } from "./guests.ts";

/** The guests by what they do. */
export const HOSTILE: Record<string, [expected: string[], guest: GuestText]> = {
  "loops forever": [["fuel"], { body: FOREVER }],
  "recurses": [["fuel", "trap"], {
    more: "(func $f (param i32) (result i32) (i32.add (call $f (local.get 0)) (i32.const 1)))",
    body: "(call $f (i32.const 1))",
  }],
  "grows memory without end": [["fuel", "trap"], {
    body: "(loop $l (drop (memory.grow (i32.const 1))) (br $l)) i32.const 0",
  }],
  "fills 4 MiB in a loop": [["fuel"], {
    pages: 64,
    body: `(loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 4194304)) (br $l))
      i32.const 0`,
  }],
  "traps": [["trap"], { body: "unreachable" }],
  "asks for the payload in a loop": [["fuel"], {
    alloc: "i32.const 8",
    body: "(loop $l (drop (call $get_payload)) (br $l)) i32.const 0",
  }],
  "logs a million lines": [["fuel"], {
    body: `(loop $l (call $log (i32.const 0) (i32.const 0) (i32.const 1024)) (br $l)) i32.const 0`,
  }],
  "adds 10,000 headers": [["abi"], {
    more: '(data (i32.const 0) "x-a")',
    body: `(loop $l (call $add_header (i32.const 0) (i32.const 3) (i32.const 0) (i32.const 1))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
        (i32.const 10000)))) i32.const 0`,
  }],
  "rejects with 0": [["abi"], {
    body: "(call $reject (i32.const 0) (i32.const 0) (i32.const 0)) i32.const 0",
  }],
  "rejects with 70000": [["abi"], {
    body: "(call $reject (i32.const 70000) (i32.const 0) (i32.const 0)) i32.const 0",
  }],
  "points outside": [["abi"], {
    body: "(call $reject (i32.const 403) (i32.const -1) (i32.const 8)) i32.const 0",
  }],
  "asks for its state in a loop": [["fuel"], {
    abi: 2,
    alloc: "i32.const 8192",
    more: declares([{ key: "{user}", value_bytes: 4_096 }]),
    body: `(call $state_set (i32.const 0) (i32.const 0) (i32.const 4096))
      (loop $l (drop (call $state_get (i32.const 0))) (br $l)) i32.const 0`,
  }],
  "writes state in a loop": [["fuel"], {
    abi: 2,
    more: declares([{ key: "{user}", value_bytes: 4_096 }]),
    body: `(loop $l (call $state_set (i32.const 0) (i32.const 0) (i32.const 4096)) (br $l))
      i32.const 0`,
  }],
  "writes more state than it declared": [["abi"], {
    abi: 2,
    more: declares([{ key: "{user}" }]),
    body: "(call $state_set (i32.const 0) (i32.const 0) (i32.const 65536)) i32.const 0",
  }],
  "writes to a slot of others": [["abi"], {
    abi: 2,
    more: declares([{ key: "{user}" }]),
    body: "(call $state_set (i32.const 2147483648) (i32.const 0) (i32.const 1)) i32.const 0",
  }],
  "has an allocator that loops": [["fuel"], {
    alloc: FOREVER,
    body: "(drop (call $get_payload)) i32.const 0",
  }],
};
