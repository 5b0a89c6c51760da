/**
 * `deno task docs:readability`: the Flesch reading ease of the prose of each page, the hardest page last, with its words.
 * 100 is very easy, 60 plain English, below 30 very hard. Terms of the field have many syllables, so a page of reference is
 * harder than a tutorial by nature; the figure is for comparing a page with itself.
 */
import { flesch } from "flesch";
import { syllable } from "syllable";
import { linesWithoutCode } from "../checkout/markdown.ts";
import { ROOT } from "../checkout/source_files.ts";
import { PAGES } from "./site_pages.ts";

/** The figures of a page. */
export interface Readability {
  readonly words: number;
  readonly words_a_sentence: number;
  readonly ease: number;
}

/** The sentences of a page: without code, headings, tables, comments and the targets of links. */
export function sentencesOf(text: string): string[] {
  const prose = linesWithoutCode(text).map((line) => /^\s*(#|\||<|!)/.test(line) ? "" : line)
    .map((line) => line.replace(/^\s*(?:[-*>]|\d+\.)\s+/, "\n\n")).join("\n")
    .replace(/\]\([^)]*\)|[*_[\]]/g, "");
  return prose.split(/\n\s*\n|(?<=[.!?])\s+/).map((one) => one.trim())
    .filter((one) => /[a-z]{2}/i.test(one));
}

/** The Flesch reading ease of the prose of a page; undefined for a page without. */
export function readabilityOf(text: string): Readability | undefined {
  const sentences = sentencesOf(text);
  const words = sentences.flatMap((one) => one.match(/[a-z][a-z'’-]*/gi) ?? []);
  if (words.length === 0) return undefined;
  const counts = { sentence: sentences.length, word: words.length };
  const ease = flesch({ ...counts, syllable: syllable(words.join(" ")) });
  return { words: words.length, words_a_sentence: words.length / sentences.length, ease };
}

if (import.meta.main) {
  const pages = await Promise.all(
    PAGES.map(async ({ file }) => ({
      file,
      ...readabilityOf(await Deno.readTextFile(ROOT + file)),
    })),
  );
  const rows = pages.flatMap(({ file, words, words_a_sentence, ease }) =>
    words === undefined || words_a_sentence === undefined || ease === undefined
      ? []
      : [{ file, words, words_a_sentence, ease }]
  ).sort((a, b) => b.ease - a.ease);
  console.log("ease  words a sentence  words  page");
  for (const { file, words, words_a_sentence, ease } of rows) {
    const cells = [ease.toFixed(0).padStart(4), words_a_sentence.toFixed(1).padStart(16)];
    console.log([...cells, String(words).padStart(5), file].join("  "));
  }
}
