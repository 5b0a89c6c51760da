/** Texts for the example phrase_mask, and what a regular expression makes of them. Tests only. */

const PHRASES = /project falcon|password is|geheimcode/gi;

/** Parts of which texts are put together that have phrases, halves of them, and characters of many bytes. */
export const PARTS = [
  ...["project falcon", "PROJECT Falcon", "password is", "Geheimcode", "geheimCODE"],
  ...["project ", "falcon", "pro", "pass", "password ", "word is", "Geheim", "code", "p", "g"],
  ...[" ", "ä", "€", "🦊", "\n", "plain words ", "*"],
];

/** The text as its readers may have it. */
export const maskedWhole = (text: string): string =>
  text.replaceAll(PHRASES, (phrase) => "*".repeat(phrase.length));
