// The imports of the ABI, as AssemblyScript sees them: a room's functions for its reducer. The name of this file
// is the name of the Wasm module that they are imported from. See ../REDUCER_ABI.md. Reducers do not call
// these; mod.ts has what they need.

/** Pointer to a `u32` length and a field of the command: its name, data, user, role, room or id. */
export declare function room_field(which: i32): usize;

/** Pointer to a `u32` length and the claim's value, or 0. */
export declare function room_claim(name_ptr: usize, name_len: usize): usize;

/** The room's clock in Unix ms. */
export declare function room_now(): i64;

/** Position of the command in the room's log. */
export declare function room_offset(): i64;

/** 64 random bits that the command's entry in the log decides. */
export declare function room_random(): i64;

/** Pointer to a `u32` length and the value of a key, or 0. */
export declare function room_read(key_ptr: usize, key_len: usize): usize;

/** Puts a value under a key. */
export declare function room_write(
  key_ptr: usize,
  key_len: usize,
  val_ptr: usize,
  val_len: usize,
): void;

/** Deletes the value of a key. */
export declare function room_delete(key_ptr: usize, key_len: usize): void;

/** Pointer to a `u32` length and entries with that prefix above `after`, at most `most`. */
export declare function room_scan(
  prefix_ptr: usize,
  prefix_len: usize,
  after_ptr: usize,
  after_len: usize,
  most: i32,
): usize;

/** Publishes an event, if the command is applied. */
export declare function room_emit(
  type_ptr: usize,
  type_len: usize,
  data_ptr: usize,
  data_len: usize,
  to_ptr: usize,
  to_len: usize,
): void;

/** What the sender receives, if the command is applied. */
export declare function room_answer(ptr: usize, len: usize): void;

/** Has a command run at a time, if this one is applied. */
export declare function room_schedule(
  key_ptr: usize,
  key_len: usize,
  at_ms: i64,
  name_ptr: usize,
  name_len: usize,
  data_ptr: usize,
  data_len: usize,
): void;

/** Takes back what is queued under a key. */
export declare function room_unschedule(key_ptr: usize, key_len: usize): void;

/** Writes one line for who runs the room: 0 debug, 1 info, 2 warn, 3 error. */
export declare function room_log(level: i32, ptr: usize, len: usize): void;

/** Refuses the command, and never returns. */
export declare function room_reject(code: i32, reason_ptr: usize, reason_len: usize): void;
