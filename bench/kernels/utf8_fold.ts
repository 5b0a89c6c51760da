// Decodes UTF-8 strictly, folds case in three scripts, and writes the result as UTF-8.
import { fillInput, INPUT, INPUT_BYTES, TABLE } from "./layout";

/** Called once, before anything is timed. */
export function prepare(): void {
  fillInput();
}

function fold(point: u32): u32 {
  if (point < 0x80) return point - 0x41 < 26 ? point + 0x20 : point;
  if (point >= 0xc0 && point <= 0xde && point != 0xd7) return point + 0x20;
  if (point >= 0x391 && point <= 0x3a9) return point + 0x20;
  if (point >= 0x410 && point <= 0x42f) return point + 0x20;
  if (point >= 0x400 && point <= 0x40f) return point + 0x50;
  return point;
}

function write(to: usize, point: u32): usize {
  if (point < 0x80) {
    store<u8>(to, point);
    return to + 1;
  }
  if (point < 0x800) {
    store<u8>(to, 0xc0 | point >> 6);
    store<u8>(to + 1, 0x80 | point & 63);
    return to + 2;
  }
  if (point < 0x10000) {
    store<u8>(to, 0xe0 | point >> 12);
    store<u8>(to + 1, 0x80 | point >> 6 & 63);
    store<u8>(to + 2, 0x80 | point & 63);
    return to + 3;
  }
  store<u8>(to, 0xf0 | point >> 18);
  store<u8>(to + 1, 0x80 | point >> 12 & 63);
  store<u8>(to + 2, 0x80 | point >> 6 & 63);
  store<u8>(to + 3, 0x80 | point & 63);
  return to + 4;
}

/** One pass over the input; the length of what was written. */
export function run(): i32 {
  const end = INPUT + INPUT_BYTES;
  let at = INPUT;
  let to = TABLE;
  while (at < end) {
    const first: u32 = load<u8>(at++);
    let point = first;
    if (first >= 0x80) {
      const more: u32 = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
      point = first & (0x3f >> more);
      for (let left = more; left > 0; left--) {
        const next: u32 = at < end ? load<u8>(at) : 0;
        if ((next & 0xc0) != 0x80) {
          point = 0xfffd;
          break;
        }
        point = point << 6 | next & 63;
        at++;
      }
    }
    to = write(to, fold(point));
  }
  return <i32>(to - TABLE);
}
