/**
 * How much recorded cases detect: mutants of a policy against 1,000 recorded decisions. A mutant is found when one of
 * them is decided differently. Mutants that no message of another, larger crowd distinguishes from the policy are no
 * mistakes (another size of a buffer, a table's unused end) and do not count.
 */
import assert from "node:assert/strict";
import { ALLOWED, REFUSED } from "../../policies/testing/word_cases.ts";
import type { JournalChunk } from "./journal_chunks.ts";
import { Repeater, type ReplayModule } from "./repeater.ts";
import { isSelected } from "./selection.ts";
import { readyModule } from "./replay_modules.ts";
import { type Mutant, mutantsOf } from "./testing/mutants.ts";
import { builtModule, linesOf, MEMORY_PAGES, Recorder } from "./testing/recorded.ts";

const CASES = 1_000;
/** Messages of the crowd that decides which mutants are mistakes. */
const CROWD = 2_500;
const MUTANTS = 50;
const FOUND = 45;
const SEED = 26;

/** Pseudorandom numbers below `below` (Marsaglia, "Xorshift RNGs", 2003). */
function numbers(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  };
}

const WORDS = ["malware", "phishing", "ransomware", "schädling", "вирус", "ウイルス"];
/** Characters between letters that change nothing: marks, joiners, half of a pair of tags. */
const NOTHING = ["\u0301", "\u200b", "\u00ad", "\ufe0f", "\u{e0061}", "\u{e0100}"];
/** Characters at the borders of the lengths of UTF-8, of ASCII's ranges, and of escapes. */
const BORDERS = [..."@[`{/:'\\\"xu\u007f\u0080\u07ff\u0800\ud7ff\ue000\uffff\u{10000}\u{10ffff}"];

/** One letter in one of many spellings. */
function spelled(letter: string, next: (below: number) => number): string {
  const code = letter.codePointAt(0)!;
  const hex = code.toString(16).padStart(4, "0");
  switch (next(12)) {
    case 0:
      return letter.toUpperCase();
    case 1:
      return `\\u${next(2) === 0 ? hex : hex.toUpperCase()}`;
    case 2:
      return code < 0x7f ? String.fromCodePoint(code + 0xfee0) : letter;
    case 3:
      return letter + NOTHING[next(NOTHING.length)];
    default:
      return letter;
  }
}

/** A message with a word in some spelling; half the time one letter is missing or replaced. */
function message(next: (below: number) => number): string {
  const letters = [...WORDS[next(WORDS.length)]!].map((letter) => spelled(letter, next));
  const at = next(letters.length);
  const wrong = ["", BORDERS[next(BORDERS.length)]!, "z", `\\u00${next(10)}${"gG/:@`"[next(6)]}`];
  if (next(2) === 0) letters.splice(at, 1, wrong[next(wrong.length)]!);
  const edge = () => next(3) === 0 ? BORDERS[next(BORDERS.length)] : "";
  return `${edge()}${letters.join("")}${edge()}`;
}

/** Messages of all kinds. */
function messagesOf(next: (below: number) => number): string[] {
  const known = Object.values({ ...REFUSED, ...ALLOWED }).filter(({ length }) => length < 500);
  return [...known, ...Array.from({ length: CASES - known.length }, () => message(next))];
}

/** Whether a module decides one of the recorded messages differently; stops after the first chunk that has one. */
async function tells(
  original: ReplayModule,
  candidate: ReplayModule,
  records: readonly JournalChunk[],
): Promise<boolean> {
  const repeater = new Repeater({
    isSelected,
    selection: { policy: "bad_words" },
    candidate,
    moduleOf: () => Promise.resolve(original),
  });
  for (const chunk of records) {
    await repeater.feed(chunk);
    const { recorded, candidate: found } = repeater.tally;
    assert.equal(recorded.different.size, 0);
    if (found.to_allowed + found.to_refused + found.changed > 0) return true;
  }
  return false;
}

/** Lines in a chunk of the records. */
const PIECE = 100;

function recordsOf(original: ReplayModule, messages: readonly string[]): JournalChunk[] {
  const recorder = new Recorder("bad_words", original);
  const records = messages.map((payload) => recorder.record({ payload }));
  return Array.from({ length: Math.ceil(records.length / PIECE) }, (_, at) => ({
    first_line: at * PIECE + 1,
    bytes: new TextEncoder().encode(linesOf(records.slice(at * PIECE, (at + 1) * PIECE))),
  }));
}

Deno.test("1,000 recorded cases find at least 45 of 50 mutants of a policy", async () => {
  const bytes = await builtModule("bad_words_wat");
  const next = numbers(SEED);
  const original = await readyModule(bytes, MEMORY_PAGES);
  const cases = recordsOf(original, messagesOf(next));
  const crowd = recordsOf(original, Array.from({ length: CROWD }, () => message(next)));
  const left = [...mutantsOf(bytes)];
  const missed: string[] = [];
  let tried = 0;
  while (tried < MUTANTS) {
    const [make] = left.splice(next(left.length), 1) as [() => Mutant];
    const { what, bytes: mutant } = make();
    const candidate = await readyModule(mutant, MEMORY_PAGES);
    const is_found = await tells(original, candidate, cases);
    if (!is_found && !await tells(original, candidate, crowd)) continue;
    tried++;
    if (!is_found) missed.push(what);
  }
  assert.ok(
    missed.length <= MUTANTS - FOUND,
    `${missed.length} were missed:\n${missed.join("\n")}`,
  );
});
