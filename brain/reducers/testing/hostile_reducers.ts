/** Reducers in the text format that fail, each in its own way. For tests only. */

export interface GuestText {
  readonly apply: string;
  /** Absent: `arqon_alloc` gives memory behind the data of the tests. */
  readonly alloc?: string;
  readonly more?: string;
}

/** Writes a value. */
export const WRITES = `(call $room_write (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1))`;
/** Publishes an event. */
export const EMIT = `(call $room_emit (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)
  (i32.const 0) (i32.const 0))`;
const IN_THE_PAST = `(call $room_schedule (i32.const 0) (i32.const 1) (i64.const -5)
  (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0))`;

/** The name of each, its text, its fault, and the error's text. */
export const HOSTILE: readonly (readonly [
  name: string,
  guest: GuestText,
  fault: string,
  detail: RegExp,
])[] = [
  ["loops", { apply: `(loop $l (br $l)) (i32.const 0)` }, "fuel", /out of fuel/],
  ["traps", { apply: `unreachable` }, "trap", /unreachable/],
  ["recurses", { apply: `(call $r)`, more: `(func $r (result i32) (call $r))` }, "trap", /./],
  [
    "emits",
    { apply: `(loop $l ${EMIT} (br $l)) (i32.const 0)` },
    "bounds",
    /events .*: 65; at most 64/,
  ],
  ["schedules in the past", { apply: `${IN_THE_PAST} (i32.const 0)` }, "bounds", /time of a/],
  [
    "reads outside",
    { apply: `(drop (call $room_read (i32.const -1) (i32.const 2))) (i32.const 0)` },
    "abi",
    /2 bytes at 4294967295 are outside of the memory of 65536/,
  ],
  [
    "writes a long key",
    {
      apply: `(call $room_write (i32.const 0) (i32.const 257) (i32.const 0) (i32.const 0))
      (i32.const 0)`,
    },
    "bounds",
    /bytes of a key: 257; at most 256/,
  ],
  [
    "rejects with 200",
    { apply: `(call $room_reject (i32.const 200) (i32.const 0) (i32.const 0)) (i32.const 0)` },
    "abi",
    /code 200 is not within 400 to 599/,
  ],
  [
    "emits no text",
    { apply: `(i32.store8 (i32.const 0) (i32.const 255)) ${EMIT} (i32.const 0)` },
    "abi",
    /type of an event: not UTF-8/,
  ],
  [
    "has no room",
    {
      apply: `(drop (call $room_field (i32.const 0))) (i32.const 0)`,
      alloc: `(func (export "arqon_alloc") (param i32) (result i32) (i32.const 0))`,
    },
    "memory",
    /arqon_alloc has no room/,
  ],
  [
    "gives room outside",
    {
      apply: `(drop (call $room_field (i32.const 0))) (i32.const 0)`,
      alloc: `(func (export "arqon_alloc") (param i32) (result i32) (i32.const -4))`,
    },
    "abi",
    /arqon_alloc: .* outside of the memory/,
  ],
  [
    "asks while it gives room",
    {
      apply: `(drop (call $room_field (i32.const 0))) (i32.const 0)`,
      alloc: `(func (export "arqon_alloc") (param i32) (result i32) ${WRITES} (i32.const 9))`,
    },
    "abi",
    /arqon_alloc called the host/,
  ],
  [
    "cannot begin",
    { apply: `(i32.const 0)`, more: `(func (export "arqon_init") (loop $l (br $l)))` },
    "abi",
    /arqon_init: unreachable/,
  ],
  [
    "asks before it begins",
    { apply: `(i32.const 0)`, more: `(func (export "arqon_init") ${WRITES})` },
    "abi",
    /the host was called outside of a command/,
  ],
];
