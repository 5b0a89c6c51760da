/** The four bad-words policies have the same verdicts, and follow the fold table. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { anyCharacter } from "../shared/testing/any_character.ts";
import { foldCharacter } from "../tasks/policies/policies_fold_table.ts";
import { startExample } from "./testing/guest_host.ts";
import { ALLOWED, BAD_WORDS, REFUSED } from "./testing/word_cases.ts";

const REASON = "a word in this message is not allowed";
const WORDS = ["malware", "phishing", "ransomware", "Schädling", "вирус", "ウイルス"];

const fold = (text: string) =>
  Array.from(text, (character) => {
    const point = character.codePointAt(0) ?? 0;
    return point < 0x80 ? character.toLowerCase() : foldCharacter(point);
  }).join("");

for (const name of BAD_WORDS) {
  Deno.test(`${name} refuses a text with one of its words, in any spelling`, async () => {
    const policy = await startExample(name);
    for (const [what, payload] of Object.entries(REFUSED)) {
      const { allowed, code, reason, fault, detail } = policy({ payload });
      assert.deepEqual(
        { allowed, code, reason, fault, detail },
        { allowed: false, code: 403, reason: REASON, fault: undefined, detail: "" },
        what,
      );
    }
  });

  Deno.test(`${name} allows a text without its words`, async () => {
    const policy = await startExample(name);
    for (const [what, payload] of Object.entries(ALLOWED)) {
      const { allowed, fault, detail } = policy({ payload });
      assert.deepEqual(
        { allowed, fault, detail },
        { allowed: true, fault: undefined, detail: "" },
        what,
      );
    }
  });

  Deno.test(`${name} runs a thousand calls in one instance, and for the same fuel in another`, async () => {
    const policies = [await startExample(name), await startExample(name)] as const;
    const clean = "x".repeat(16_384);
    for (let index = 0; index < 500; index++) {
      const refused = policies.map((policy) => policy({ payload: `${clean}malware` }));
      assert.deepEqual(refused.map(({ code }) => code), [403, 403]);
      assert.equal(refused[0]?.units, refused[1]?.units);
      const passed = policies.map((policy) => policy({ payload: clean }));
      assert.deepEqual(passed.map(({ detail }) => detail), ["", ""]);
      assert.equal(passed[0]?.units, passed[1]?.units);
    }
  });

  Deno.test(`${name} reads bytes that are not UTF-8 as characters of no word`, async () => {
    const policy = await startExample(name);
    const word = new TextEncoder().encode("malware");
    for (const bad of [[0x80], [0xc3], [0xe0, 0x80], [0xf0, 0x9f, 0x98], [0xff], [0xf5, 0x80]]) {
      const inside = new Uint8Array([...word.slice(0, 3), ...bad, ...word.slice(3)]);
      assert.equal(policy({ payload: inside }).allowed, true, `inside: ${bad}`);
      assert.equal(policy({ payload: new Uint8Array([...bad, ...word]) }).code, 403, `${bad}`);
      assert.equal(policy({ payload: new Uint8Array([...word, ...bad]) }).code, 403, `${bad}`);
    }
  });
}

Deno.test("all four give the verdict of a search for the folded words in the folded text", async () => {
  const policies = await Promise.all(BAD_WORDS.map(startExample));
  const piece = fc.oneof(
    fc.constantFrom(...WORDS.flatMap((word) => [word, word.toUpperCase(), word.slice(0, 3)])),
    fc.constantFrom("mal", "ware", "phi", "shing", "\u200b", "\u0301", "ﬁ", "ß", "\u339c"),
    fc.string({ unit: "grapheme", maxLength: 4 }),
    fc.string({ unit: anyCharacter, maxLength: 4 }),
  );
  const folded = WORDS.map(fold);
  const texts = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(""))
    .filter((text) => text.isWellFormed() && !text.includes("\\"));
  fc.assert(fc.property(texts, (payload) => {
    const expected = folded.some((word) => fold(payload).includes(word)) ? 403 : 0;
    assert.deepEqual(policies.map((policy) => policy({ payload }).code), Array(4).fill(expected));
  }));
});

Deno.test("all four give the same verdict for any bytes", async () => {
  const policies = await Promise.all(BAD_WORDS.map(startExample));
  const text = fc.constantFrom("malware", "\\u006dalware", "\\ud835\\udc26", "\\\\", "\\u", "вирус")
    .map((value) => [...new TextEncoder().encode(value)]);
  const bytes = fc.array(fc.oneof(text, fc.uint8Array({ maxLength: 5 }).map((some) => [...some])), {
    maxLength: 8,
  }).map((pieces) => new Uint8Array(pieces.flat()));
  fc.assert(fc.property(bytes, (payload) => {
    const codes = policies.map((policy) => policy({ payload }).code);
    assert.equal(new Set(codes).size, 1, codes.join());
    assert.ok(codes[0] === 0 || codes[0] === 403, codes.join());
  }));
});

Deno.test("every character folds according to its table, in all four", async () => {
  const policies = await Promise.all(BAD_WORDS.map(startExample));
  // A character that folds to nothing keeps the word together; every other character breaks it.
  const breaks: number[] = [];
  for (let point = 0x80; point < 0x110000; point += point < 0x3000 ? 1 : 97) {
    if (point >= 0xd800 && point <= 0xdfff) continue;
    const payload = `malw${String.fromCodePoint(point)}are`;
    const expected = fold(payload) === "malware" ? 403 : 0;
    if (expected === 403) breaks.push(point);
    for (const policy of policies) {
      assert.equal(policy({ payload }).code, expected, `U+${point.toString(16)}`);
    }
  }
  assert.ok(breaks.includes(0xad) && breaks.includes(0x301) && breaks.includes(0x200b));
});
