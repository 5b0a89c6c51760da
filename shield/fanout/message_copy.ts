/**
 * The copy of a message from the Spine, with space for its frame headers before it, so that it is sent to a socket
 * without another copy. Not for cached messages.
 */
import { Opcode } from "@arqon/proto";
import { passing_messages } from "../../shared/containers/byte_arena.ts";
import type { PayloadCopy } from "../../shared/spine/contract/spine_message.ts";
import { HeadedSpace } from "../socket/frame_space.ts";

const passing = new HeadedSpace(passing_messages);

/** Copies an envelope that is not needed after sending. */
export function passingCopy(bytes: Uint8Array, from: number, to: number): Uint8Array<ArrayBuffer> {
  const at = passing.reserve(1 + to - from);
  const slab = passing.bytes;
  slab[at] = Opcode.MSG;
  slab.set(bytes.subarray(from, to), at + 1);
  return slab.subarray(at + 1, at + 1 + to - from);
}

/** The copies for a room: a durable one caches its last messages, which must not keep others in memory. */
export function copyFor(channel: { readonly durable: unknown }): PayloadCopy {
  return (bytes, from, to) =>
    channel.durable === undefined ? passingCopy(bytes, from, to) : bytes.slice(from, to);
}
