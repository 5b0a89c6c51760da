/** Tests of the folding of single characters, and of the table with the folded forms. */
import assert from "node:assert/strict";
import { foldCharacter, makeFoldTable } from "./policies_fold_table.ts";

/** Cache of folded forms. */
const known = new Map<number, string>();

function folded(point: number): string {
  let text = known.get(point);
  if (text === undefined) known.set(point, text = foldCharacter(point));
  return text;
}

const fold = (text: string) =>
  Array.from(text, (character) => folded(character.codePointAt(0) ?? 0)).join("");

const nameOf = (point: number) => `U+${point.toString(16)}`;

Deno.test("case, accents, width and style fold; scripts keep their own marks", () => {
  const forms: Readonly<Record<string, string>> = {
    "ÀÉÎõÜçñ": "aeioucn",
    "ẞßſ": "sssss",
    "ΣσςΆ": "σσσα",
    "ЙйЁё": "ииее",
    "ＡＢｃ１２": "abc12",
    "𝐀𝒷𝔠⑬": "abc13",
    "ﬁﬀ㎏": "fiffkg",
    "İıI": "iii",
    "\u200b\u00ad\u2060\ufe0f\u{e0041}": "",
    "ｶﾞ": "カ\u3099",
    "が": "か\u3099",
    "कु": "कु",
    "가힣": "가힣",
    "æøđłþ": "æøđłþ",
  };
  for (const [text, expected] of Object.entries(forms)) assert.equal(fold(text), expected, text);
});

Deno.test("folding is idempotent", () => {
  for (let point = 0x80; point < 0x30000; point++) {
    if (point >= 0xd800 && point <= 0xdfff) continue;
    const once = folded(point);
    if (fold(once) !== once) assert.fail(nameOf(point));
  }
});

Deno.test("characters that differ only by case have the same form", () => {
  for (let point = 0x80; point < 0x20000; point++) {
    if (point >= 0xd800 && point <= 0xdfff) continue;
    const character = String.fromCodePoint(point);
    for (const cased of [character.toUpperCase(), character.toLowerCase()]) {
      if (cased !== character && fold(cased) !== folded(point)) assert.fail(nameOf(point));
    }
  }
});

Deno.test("the table has the folded form of every character", () => {
  const table = makeFoldTable();
  const view = new DataView(table.buffer);
  const decoder = new TextDecoder();
  const [limit, blocks, forms] = [0, 4, 8].map((at) => view.getUint32(at, true)) as [
    number,
    number,
    number,
  ];
  // No character above these is assigned.
  for (let point = 0x80; point < 0xe0000; point += point < 0x40000 ? 1 : 61) {
    if (point >= 0xd800 && point <= 0xdfff) continue;
    const block = point < limit ? table[12 + (point >> 6)] ?? 0 : 0;
    const cell = blocks + block * 128 + (point & 63) * 2;
    const at = point < limit ? view.getUint16(cell, true) : 0;
    const start = forms + at;
    const form = table.subarray(start + 1, start + 1 + (table[start] ?? 0));
    const text = at === 0 ? String.fromCodePoint(point) : decoder.decode(form);
    if (text !== folded(point)) assert.fail(nameOf(point));
  }
});
