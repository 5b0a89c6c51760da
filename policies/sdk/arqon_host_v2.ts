// The imports of version 2 of the ABI, as AssemblyScript sees them: the Shield's functions for a policy. The
// name of this file is the name of the Wasm module that they are imported from. See ../ABI_V2.md. For a
// policy that imports v2.ts, the compiler reads it in place of arqon_host_v1.ts. Policies do not call
// these; v2.ts has what they need.

/** The version of the ABI. */
export const ABI: i32 = 2;

/** Pointer to a `u32` length and the value of the first header of that name, or 0. */
export declare function host_get_header(name_ptr: usize, name_len: usize): usize;

/** Pointer to a `u32` length and the claim's value, or 0. */
export declare function host_get_claim(key_ptr: usize, key_len: usize): usize;

/** Pointer to a `u32` length and the payload; 0 where the hook has none. */
export declare function host_get_payload(): usize;

/** Adds a header that the next policy and the subscribers see. */
export declare function host_add_header(
  name_ptr: usize,
  name_len: usize,
  val_ptr: usize,
  val_len: usize,
): void;

/** Replaces the payload, if the message passes. */
export declare function host_set_payload(ptr: usize, len: usize): void;

/** Writes one line to the Shield's log: 0 debug, 1 info, 2 warn, 3 error. */
export declare function host_log(level: i32, msg_ptr: usize, msg_len: usize): void;

/** Refuses the operation, and never returns. */
export declare function host_reject(code: i32, reason_ptr: usize, reason_len: usize): void;

/** Pointer to a `u32` length and the value of a slot of the policy's state, or 0. */
export declare function host_state_get(slot: i32): usize;

/** Stores a value in a slot, if the call reaches a verdict. */
export declare function host_state_set(slot: i32, ptr: usize, len: usize): void;

/** Deletes the value of a slot, if the call reaches a verdict. */
export declare function host_state_delete(slot: i32): void;
