/** The readability of a page is that of its prose, as a library counts it. */
import assert from "node:assert/strict";
import { readabilityOf, sentencesOf } from "./readability.ts";

const PAGE = `# A heading

The **Shield** checks [each
token](security.md). It refuses \`x\` if the time is up!

| a | table |
| - | ----- |

- One item

~~~sh
arq pub lobby
~~~

<!-- a comment -->
`;

Deno.test("code, headings, tables and targets of links are no prose", () => {
  assert.deepEqual(
    sentencesOf(PAGE).map((one) => one.replaceAll(/\s+/g, " ")),
    ["The Shield checks each token.", "It refuses if the time is up!", "One item"],
  );
});

Deno.test("the ease of a known text is that of the formula, and a page without prose has none", () => {
  // 13 words, 1 sentence, 26 syllables: 206.835 - 1.015 * 13 - 84.6 * 26 / 13.
  const found = readabilityOf(
    "The Australian platypus is seemingly a hybrid of a mammal and reptilian creature.",
  );
  assert.equal(found?.words, 13);
  assert.equal(found.ease.toFixed(1), "24.4");
  assert.equal(readabilityOf("# Only\n\n~~~\ncode\n~~~\n"), undefined);
});
