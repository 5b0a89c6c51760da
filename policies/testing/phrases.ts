/** Texts for the example phrase_mask, and the result of a regular expression for them. Tests only. */

const PHRASES = /project falcon|password is|geheimcode/gi;

/** Parts of texts: phrases, halves of phrases, and characters of several bytes. */
export const PARTS = [
  ...["project falcon", "PROJECT Falcon", "password is", "Geheimcode", "geheimCODE"],
  ...["project ", "falcon", "pro", "pass", "password ", "word is", "Geheim", "code", "p", "g"],
  ...[" ", "ä", "€", "🦊", "\n", "plain words ", "*"],
];

/** The text that its readers may receive. */
export const maskedWhole = (text: string): string =>
  text.replaceAll(PHRASES, (phrase) => "*".repeat(phrase.length));
