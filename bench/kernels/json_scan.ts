// Walks through JSON: strings with escapes, nesting, numbers, names; counts members and numbers.
import { fillInput, INPUT, INPUT_BYTES } from "./layout";

/** Called once, before anything is timed. */
export function prepare(): void {
  fillInput();
}

function skipString(start: usize, end: usize): usize {
  let at = start;
  while (at < end) {
    const byte = load<u8>(at);
    if (byte == 0x22) return at + 1;
    at += byte == 0x5c ? 2 : 1;
  }
  return end;
}

function skipNumber(start: usize, end: usize): usize {
  let at = start;
  while (at < end) {
    const byte = load<u8>(at);
    const isDigit = byte - 0x30 < 10;
    if (!isDigit && byte != 0x2e && byte != 0x2d && byte != 0x2b && (byte | 0x20) != 0x65) break;
    at++;
  }
  return at;
}

/** One pass over the input. */
export function run(): i32 {
  const end = INPUT + INPUT_BYTES;
  let at = INPUT;
  let members = 0;
  let numbers = 0;
  let depth = 0;
  let deepest = 0;
  while (at < end) {
    const byte = load<u8>(at);
    switch (byte) {
      case 0x22:
        at = skipString(at + 1, end);
        break;
      case 0x7b:
      case 0x5b:
        if (++depth > deepest) deepest = depth;
        at++;
        break;
      case 0x7d:
      case 0x5d:
        depth--;
        at++;
        break;
      case 0x3a:
        members++;
        at++;
        break;
      default:
        if (byte == 0x2d || byte - 0x30 < 10) {
          numbers++;
          at = skipNumber(at, end);
        } else {
          at++;
        }
    }
  }
  return members * 10000 + numbers * 100 + deepest;
}
