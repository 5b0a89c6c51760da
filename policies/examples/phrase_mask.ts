// Masks phrases in growing messages, also those that are split over pieces: text that may become a phrase waits for
// the next piece. The case of ASCII letters does not count. Where phrases begin at the same place, the first counts.
import { allow, onAppend, Piece, Verdict } from "../sdk/v2.ts";

const phrases = new Array<ArrayBuffer>();
["project falcon", "password is", "Geheimcode"].forEach((phrase) => {
  phrases.push(String.UTF8.encode(phrase));
});
const MASK: u8 = 0x2A;

function lower(byte: u8): u8 {
  return byte >= 0x41 && byte <= 0x5A ? byte + 32 : byte;
}

/** The number of bytes at `at` that match the phrase, at most its length. */
function alike(at: usize, end: usize, phrase: ArrayBuffer): i32 {
  const own = changetype<usize>(phrase);
  let count = 0;
  while (count < phrase.byteLength && at + <usize> count < end) {
    if (lower(load<u8>(at + <usize> count)) != lower(load<u8>(own + <usize> count))) break;
    count++;
  }
  return count;
}

function judge(piece: Piece): Verdict {
  const bytes = piece.bytes;
  const isLast = piece.isLast;
  let isMasked = false;
  let at = bytes.dataStart;
  const end = at + <usize> bytes.length;
  let isHeld = false;
  while (at < end && !isHeld) {
    let next = at + 1;
    for (let index = 0; index < phrases.length; index++) {
      const phrase = phrases[index];
      const count = alike(at, end, phrase);
      if (count == phrase.byteLength) {
        memory.fill(at, MASK, count);
        next = at + <usize> count;
        isMasked = true;
        break;
      }
      if (at + <usize> count == end && !isLast) {
        isHeld = true;
        break;
      }
    }
    if (!isHeld) at = next;
  }
  if (isMasked) piece.replace(bytes);
  if (isHeld) piece.release(<i32> (at - bytes.dataStart));
  return allow();
}

onAppend(judge);
