/** Requests to a worker thread: each answer finds its own, and none waits for a dead thread. */
import assert from "node:assert/strict";
import { atEnd } from "../testing/at_end.ts";
import { AskedThread } from "./asked_thread.ts";

interface Numbered {
  readonly id: number;
  readonly text: string;
}

/** Dies of the text "die", and has no answer to "never". */
const ECHO = `onmessage = ({ data }) => {
  if (data.text === "die") throw new Error("it dies");
  if (data.text !== "never") postMessage(data);
};`;

Deno.test("each answer finds its request; after a death and an end, another thread answers", async () => {
  const url = URL.createObjectURL(new Blob([ECHO], { type: "text/javascript" }));
  await using _url = atEnd(() => URL.revokeObjectURL(url));
  const thread = new AskedThread<Numbered, Numbered, PromiseWithResolvers<string>>({
    start: () => new Worker(url, { type: "module" }),
    settle: ({ resolve }, { text }) => resolve(text),
    died: (detail) => thread.end(new Error(`died: ${detail}`)),
  });
  await using _thread = atEnd(() => thread.end(new Error("the test is over")));
  const ask = (text: string) => {
    const waiting = Promise.withResolvers<string>();
    thread.send({ id: thread.add(waiting), text });
    return waiting.promise.catch((error: Error) => error.message);
  };
  assert.deepEqual(await Promise.all(["a", "b"].map(ask)), ["a", "b"]);
  for (const outcome of await Promise.all(["never", "die", "never"].map(ask))) {
    assert.match(outcome, /^died: .*it dies/);
  }
  assert.equal(await ask("c"), "c");
  const late = ask("never");
  thread.end(new Error("ended"));
  assert.equal(await late, "ended");
  assert.equal(await ask("d"), "d");
  assert.equal(thread.waiting, 0);
});
