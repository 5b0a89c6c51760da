/**
 * Stands in for a model: it streams words one after another, and it can count. An answer is written to the bus with
 * `stream`. To use a real model, pass its text to `stream` instead.
 */
import type { Room } from "@arqon/sdk";
import { stream } from "@arqon/sdk/streams";

/** Between two words, in ms. */
const WORD_MS = 40;
const STORY =
  "Once upon a time there was a message that was too long to send all at once. So it was " +
  "sent piece by piece, and readers who came late got the pieces so far, and then the rest.";

/** The words of an answer. */
function* wordsFor(question: string): Generator<string, void> {
  const [, count] = /\bcount to (\d{1,7})\b/i.exec(question) ?? [];
  if (count === undefined) yield* STORY.split(/(?<= )/);
  else for (let at = 1; at <= Number(count); at++) yield `${at} `;
}

/** The same words with pauses like those of a model. It ends when the reader stops it. */
async function* spoken(question: string): AsyncGenerator<string, void> {
  for (const word of wordsFor(question)) {
    yield word;
    await new Promise((resolve) => setTimeout(resolve, WORD_MS));
  }
}

/** Answers every question of the room, several at once, until the connection ends. */
export async function answerQuestions(room: Room): Promise<void> {
  const questions = room.subscribe();
  await questions.ready;
  for await (const message of questions) {
    if (message.signal || message.type !== "question") continue;
    stream(room, spoken(message.text()), { id: `to-${message.message_id}`, type: "answer" })
      .then(({ outcome }) => console.error(`answer ${outcome}`))
      .catch((error) => console.error(`answer failed: ${error.message}`));
  }
}
