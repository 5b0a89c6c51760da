/**
 * Where a kind of socket does something else with a case than the RFC says; each is another's code.
 * Pure data, for `rfc_cases_test.ts` and docs/websocket.md.
 */

/** By kind, the case's section and what it is, all outcomes that were seen. */
export const DIFFERENCES: Readonly<
  Record<"native" | "own", Readonly<Record<string, readonly string[]>>>
> = {
  native: {
    "2 pings: a ping of 126 bytes": ["ended"],
    "3 reserved bits: reserved bits 1": ["ended"],
    "3 reserved bits: reserved bits 2": ["ended"],
    "3 reserved bits: reserved bits 3": ["ended"],
    "3 reserved bits: reserved bits 4": ["ended"],
    "3 reserved bits: reserved bits 5": ["ended"],
    "3 reserved bits: reserved bits 6": ["ended"],
    "3 reserved bits: reserved bits 7": ["ended"],
    "4 opcodes: opcode 3": ["ended"],
    "4 opcodes: opcode 4": ["ended"],
    "4 opcodes: opcode 5": ["ended"],
    "4 opcodes: opcode 6": ["ended"],
    "4 opcodes: opcode 7": ["ended"],
    "4 opcodes: opcode 11": ["ended"],
    "4 opcodes: opcode 12": ["ended"],
    "4 opcodes: opcode 13": ["ended"],
    "4 opcodes: opcode 14": ["ended"],
    "4 opcodes: opcode 15": ["ended"],
    "5 fragments: a ping in two": ["ended"],
    "5 fragments: a pong in two": ["ended"],
    "5 fragments: a continuation of nothing, last": ["ended"],
    "5 fragments: a continuation of nothing, not last": ["ended"],
    "5 fragments: a continuation after a whole message": ["ended"],
    "5 fragments: a message within a message": ["ended"],
    "6 UTF-8: a lone continuation byte": ["ended"],
    "6 UTF-8: a first byte without the rest": ["ended"],
    "6 UTF-8: a sequence that is cut": ["ended"],
    "6 UTF-8: an overlong slash": ["ended"],
    "6 UTF-8: an overlong NUL": ["ended"],
    "6 UTF-8: a surrogate": ["ended"],
    "6 UTF-8: beyond Unicode": ["ended"],
    "6 UTF-8: five bytes": ["ended"],
    "6 UTF-8: 0xFF": ["ended"],
    "6 UTF-8: wrong in the second fragment": ["ended"],
    "7 closing: a close code of one byte": ["ended"],
    "7 closing: a reason that is no UTF-8": ["ended"],
    "7 closing: a reason that is too long": ["closed 1000"],
    "5.1 masks: text without a mask": ["taken"],
    "5.1 masks: a ping without a mask": ["taken"],
    "5.2 lengths: 1 byte with a length of 16 bits": ["taken"],
    "5.2 lengths: 1 byte with a length of 64 bits": ["taken"],
    "5.2 lengths: 126 bytes with a length of 64 bits": ["taken"],
    "5.2 lengths: 65535 bytes with a length of 64 bits": ["taken"],
    "5.2 lengths: a ping with a length of 16 bits": ["taken"],
  },
  own: {},
};
