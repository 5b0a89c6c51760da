/** The forbidden kinds of sentences. */
import assert from "node:assert/strict";
import { checkColumns, checkSentences, checkStyle } from "./style_rules.ts";

const linesOf = (text: string) => checkStyle("docs/a.md", text).map(({ line }) => line);

Deno.test("style: a sentence of each kind is found, also across a line break", () => {
  for (
    const sentence of [
      "It keeps an owner of before.",
      "It deletes what is too much.",
      "The key says as which it stands.",
      "A room forgets who is away.",
      "A message for who comes back.",
      "The timer is no more.",
      "The bus comes back by itself.",
      "A server that stood still.",
      "The ledger says what became of it.",
      "It drops what is over.",
      "Clients that were sent away.",
      "Nothing is to be had there.",
      "The log has nothing that it has not.",
      "That is not so of rooms.",
      "Of what is lost nothing comes.",
    ]
  ) {
    assert.deepEqual(linesOf(`A line.\n\n${sentence}\n`), [3], sentence);
    if (sentence.startsWith("Of what")) continue;
    const broken = `/**\n * ${sentence.replace(/ (?=\S+ \S+$)/, "\n * ")}\n */`;
    assert.equal(linesOf(broken).length, 1, broken);
  }
});

Deno.test("style: a sentence of a page's kinds is found in a page and in a comment", () => {
  for (
    const sentence of [
      "The client is told so.",
      "A gap that it was not told of.",
      "No event tells of a ban.",
      "The name stands in the table.",
      "The page works while NATS is away.",
      "Messages go on as ever.",
      "A reader leaves without a word.",
      "When nobody can say what it was.",
      "The log takes what waits.",
      "The owner takes up the room.",
      "A room is born with its first member.",
      "Nobody hears the room.",
      "A key that is not used any more.",
      "Repeat it once more.",
      "The SDK reconnects by itself.",
    ]
  ) {
    assert.deepEqual(linesOf(`A line.\n\n${sentence}\n`), [3], sentence);
    assert.equal(checkStyle("shared/a.ts", `/**\n * ${sentence}\n */`)[0]?.line, 2, sentence);
    assert.equal(checkStyle("sdk/a.py", `"""${sentence}"""`).length, 1, sentence);
    assert.equal(checkStyle("tests/a_test.ts", `// ${sentence}`).length, 1, sentence);
    assert.deepEqual(checkStyle("shared/a.ts", `"${sentence}"`), [], sentence);
  }
});

Deno.test("style: similar valid sentences are not reported", () => {
  for (
    const text of [
      "for (const one of before) builder.add(one);",
      "for (const [at, block] of before.entries()) {",
      "for (const state of before ? [brain] : []) merge(state);",
      "A room that it was put out of before it joins a pattern.",
      "The next page; null when there is no more.",
      "The bus, whose keys are public, says of what kind it is.",
      "A set of what is stored.",
      "Two lives are told apart by their start.",
      "A process that was told to stop.",
      "A program that stands in for the image.",
      "It takes up to three seconds.",
    ]
  ) assert.deepEqual(linesOf(text), [], text);
});

Deno.test("style: a declaration is named by what it holds", () => {
  for (
    const line of [
      "const told = 1;",
      "let is_heard = false;",
      "using heard = room.subscribe();",
      "function toldBy(text: string) {}",
      "interface Unheard {}",
      "class ToldTails {}",
      "type ErrSaid = string;",
      "const SAID_BYTES = 1;",
    ]
  ) assert.equal(checkStyle("shared/a.ts", line).length, 1, line);
  assert.equal(checkStyle("sdk/a.py", "def heard(self) -> None:").length, 1);
  for (const line of ["const household = 1;", "const { heard } = answer;", "answer.said;"]) {
    assert.deepEqual(checkStyle("shared/a.ts", line), [], line);
  }
});

Deno.test("style: a sentence of more than 45 words is found, and code, links and cells are not counted", () => {
  const words = (count: number) => Array(count).fill("word").join(" ");
  const long = `A line.\n\n- ${words(23)}\n  ${words(23)}. The next one.\n`;
  assert.deepEqual(checkSentences("docs/a.md", long).map(({ line }) => line), [3]);
  for (
    const text of [
      `${words(45)}.`,
      `${words(44)}. ${words(44)}!`,
      `${words(40)}\n\n${words(40)}`,
      `- ${words(40)}\n- ${words(40)}`,
      `| ${words(40)} | ${words(40)} |`,
      `${words(40)} \`${words(9)}\` [a](b/c/d/e/f.md#g-h).`,
      "```text\n" + words(99) + "\n```",
    ]
  ) assert.deepEqual(checkSentences("docs/a.md", text), [], text);
});

Deno.test("style: comments beyond the last column are found; code and addresses are not", () => {
  const long = "word ".repeat(30);
  const address = `https://${"x".repeat(120)}`;
  const text = `// ${long}\n * ${long}\nconst x = "${long}";\n// see ${address}\n# ${long}\n`;
  assert.deepEqual(checkColumns("a.ts", text).map(({ line }) => line), [1, 2, 5]);
  assert.deepEqual(checkColumns("docs/a.md", text), []);
});
