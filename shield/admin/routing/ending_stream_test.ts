/** Answers without an end of their own, whose reader's token ends. */
import assert from "node:assert/strict";
import { endingWith, withoutEnd } from "./admin_safety.ts";

/** An answer that says one line and then nothing; whether its source was cancelled. */
function silent() {
  const source = { cancelled: false };
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new Uint8Array([10])),
    cancel: () => void (source.cancelled = true),
  });
  return { source, body };
}

Deno.test("a silent answer ends within a second after its token, and so does its source", async () => {
  let is_over = false;
  const { source, body } = silent();
  const reader = endingWith(withoutEnd(new Response(body)), () => assert.equal(is_over, false))
    .body!.getReader();
  assert.equal((await reader.read()).value?.length, 1);
  is_over = true;
  assert.deepEqual(await reader.read(), { done: true, value: undefined });
  assert.equal(source.cancelled, true);
});

Deno.test("what comes after the token's end is not sent", async () => {
  const { source, body } = silent();
  const reader = endingWith(withoutEnd(new Response(body)), () => assert.fail()).body!.getReader();
  assert.equal((await reader.read()).done, true);
  assert.equal(source.cancelled, true);
});

Deno.test("an answer that its reader leaves ends its source; an export is as it was", async () => {
  const { source, body } = silent();
  await endingWith(withoutEnd(new Response(body)), () => {}).body!.cancel();
  assert.equal(source.cancelled, true);
  const lines = new Response("{}\n", { headers: { "content-type": "application/x-ndjson" } });
  assert.equal(endingWith(lines, () => assert.fail()), lines);
});
