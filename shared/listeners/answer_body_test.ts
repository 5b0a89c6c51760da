/** An answer's body ends with its signal also after a garbage collection, as in an idle process. */
import assert from "node:assert/strict";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { endedBy, textOf } from "./answer_body.ts";

interface Collection {
  readonly type: "major";
  readonly execution: "async";
  readonly flavor?: "last-resort";
}

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as (options: Collection) => Promise<void>;

/** As V8 does in an idle process: in a task of its own, so that no stack keeps anything alive. */
async function collectGarbage(): Promise<void> {
  await collect({ type: "major", execution: "async", flavor: "last-resort" });
  await collect({ type: "major", execution: "async" });
}

/** Answers with one byte and then never again; reports when the reader has disconnected. */
function startSilent() {
  const gone = Promise.withResolvers<void>();
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, () =>
    new Response(
      new ReadableStream({
        start: (controller) => controller.enqueue(new Uint8Array([1])),
        cancel: () => gone.resolve(),
      }),
    ));
  const url = `http://127.0.0.1:${server.addr.port}/`;
  return { url, gone: gone.promise, [Symbol.asyncDispose]: () => server.shutdown() };
}

async function open(url: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
  const { body } = await fetch(url, { signal });
  return endedBy(body ?? assert.fail("no body"), signal);
}

/** Rejects with the reason of the end; only this call references the body. */
async function read(opened: Promise<ReadableStream<Uint8Array>>, onChunk: () => void) {
  for await (const _ of await opened) onChunk();
}

for (
  const [name, signalOf] of [
    ["the signal itself", (signal: AbortSignal) => signal],
    ["one of several", (signal: AbortSignal) => AbortSignal.any([signal])],
  ] as const
) {
  Deno.test(`an abort after a garbage collection ends a stalled body: ${name}`, async () => {
    await using silent = startSilent();
    const stop = new AbortController();
    const begun = Promise.withResolvers<void>();
    const reading = read(open(silent.url, signalOf(stop.signal)), begun.resolve);
    const ended = assert.rejects(reading, /all is over/);
    await begun.promise;
    await collectGarbage();
    stop.abort(new Error("all is over"));
    await ended;
    await silent.gone;
  });
}

Deno.test("text of an answer that never ends is given up with its signal", async () => {
  await using silent = startSilent();
  const stop = new AbortController();
  const answered = Promise.withResolvers<void>();
  const text = fetch(silent.url, { signal: stop.signal }).then((response) => {
    answered.resolve();
    return textOf(response, stop.signal);
  });
  const ended = assert.rejects(text, /too late/);
  await answered.promise;
  await collectGarbage();
  stop.abort(new Error("too late"));
  await ended;
  await silent.gone;
});

Deno.test("a body that ends normally, one that is cancelled, and an already aborted signal", async () => {
  const answer = () => new Response("hello");
  const { signal } = new AbortController();
  assert.equal(await textOf(answer(), signal), "hello");
  assert.equal(await textOf(new Response(null), signal), "");
  await endedBy(answer().body ?? assert.fail(), signal).cancel();
  await assert.rejects(textOf(answer(), AbortSignal.abort(new Error("before"))), /before/);
});
