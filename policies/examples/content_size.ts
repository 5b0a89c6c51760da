// Refuses a payload that is larger than its content type may be, with 413. The first line that fits
// counts; a type without a line, and no type, is 64 KiB.
import { allow, Message, onMessage, reject, Verdict } from "../sdk/v2.ts";

const PREFIXES: string[] = ["text/", "application/json", "image/", "audio/"];
const SIZES: i32[] = [4_096, 16_384, 262_144, 131_072];
const OTHER_SIZE: i32 = 65_536;

function judge(m: Message): Verdict {
  const type = m.mediaType;
  let limit = OTHER_SIZE;
  for (let index = 0; index < PREFIXES.length; index++) {
    if (!type.startsWith(PREFIXES[index])) continue;
    limit = SIZES[index];
    break;
  }
  const size = m.bytes.length;
  if (size <= limit) return allow();
  return reject(size.toString() + " bytes; at most " + limit.toString() + " here", 413);
}

onMessage(judge);
