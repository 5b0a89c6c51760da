// MurmurHash3 (32 bits) of 4 KiB: longer blocks of arithmetic, four bytes a turn.
import { fillInput, INPUT, INPUT_BYTES } from "./layout";

/** Called once, before anything is timed. */
export function prepare(): void {
  fillInput();
}

/** One pass over the input; the hash. */
export function run(): i32 {
  let hash: u32 = 0x9747b28c;
  for (let at = INPUT, end = INPUT + INPUT_BYTES; at < end; at += 4) {
    hash ^= rotl<u32>(load<u32>(at) * 0xcc9e2d51, 15) * 0x1b873593;
    hash = rotl<u32>(hash, 13) * 5 + 0xe6546b64;
  }
  hash ^= <u32>INPUT_BYTES;
  hash = (hash ^ hash >> 16) * 0x85ebca6b;
  hash = (hash ^ hash >> 13) * 0xc2b2ae35;
  return hash ^ hash >> 16;
}
