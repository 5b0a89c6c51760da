/**
 * The sources of the script's policies, in AssemblyScript, as their authors would write them. They are built
 * by `arq policy build`; Deno never runs them.
 */

const words = (list: string): string =>
  `// Refuses a message with one of the words, and says in a header what was read.
import { allow, onMessage, reject, WordList } from "@arqon/policy/v2";

const words = new WordList([${list}]);

onMessage((m) => {
  if (words.isIn(m.bytes)) return reject("a word in this message is not allowed");
  m.addHeader("x-read-by", "words of " + m.room);
  return allow();
});
`;

/** A source by the name of its policy; `words_planted` is `words` with one rule more. */
export const SOURCES = {
  words: words('"malware"'),
  words_planted: words('"malware", "kumquat"'),
  sizes: `// Refuses a text of more than 400 bytes, with 413.
import { allow, onMessage, reject } from "@arqon/policy/v2";

onMessage((m) => m.bytes.length > 400 ? reject("at most 400 bytes", 413) : allow());
`,
  rate:
    `// Refuses a user's messages beyond 900 in 10 seconds, with 429. A window begins with the first message
// after the one before is over; the Shield's clock counts.
import { allow, Message, onMessage, reject, state, Verdict } from "@arqon/policy/v2";

const WINDOW_MS: i64 = 10_000;
const LIMIT: i32 = 900;
const counts = state("{user}", 60, 12);

function judge(m: Message): Verdict {
  const kept = counts.get();
  const value = kept === null ? new Uint8Array(12) : kept;
  const at = value.dataStart;
  const nowMs = m.nowMs;
  if (kept === null || nowMs >= load<i64>(at) + WINDOW_MS) {
    store<i64>(at, nowMs);
    store<i32>(at + 8, 0);
  }
  const count = load<i32>(at + 8) + 1;
  if (count > LIMIT) return reject("at most 900 messages in 10 seconds", 429);
  store<i32>(at + 8, count);
  counts.set(value);
  return allow();
}

onMessage(judge);
`,
  repeats:
    `// Refuses what a connection has just said in the same room, with 409. A hash (FNV-1a, 64 bits) of the last
// text is kept.
import { allow, Message, onMessage, reject, state, Verdict } from "@arqon/policy/v2";

const last = state("{connection}/{room}", 60, 8);

function hashOf(bytes: Uint8Array): u64 {
  let hash: u64 = 0xcbf29ce484222325;
  for (let index = 0; index < bytes.length; index++) {
    hash = (hash ^ <u64> bytes[index]) * 0x100000001b3;
  }
  return hash;
}

function judge(m: Message): Verdict {
  const hash = hashOf(m.bytes);
  const kept = last.get();
  if (kept !== null && load<u64>(kept.dataStart) == hash) return reject("you have just said so", 409);
  const value = new Uint8Array(8);
  store<u64>(value.dataStart, hash);
  last.set(value);
  return allow();
}

onMessage(judge);
`,
} as const;

/** The name of a source. */
export type SourceName = keyof typeof SOURCES;
