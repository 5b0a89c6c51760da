/** Garbage of a real server is counted while it is under load. */
import assert from "node:assert/strict";
import { DENO_SERVER, measureGarbage } from "./measure.ts";

Deno.test("a bare echo's bodies are counted as contents, its frames as objects, and none stays", async () => {
  const body_bytes = 300;
  const load = { messages: 60_000, connections: 4, body_bytes };
  const { garbage, rests } = await measureGarbage(DENO_SERVER, load);
  // What comes in is a buffer of its own, and what goes out is that buffer.
  const { contents_bytes, objects_bytes } = garbage;
  assert.ok(contents_bytes >= body_bytes && contents_bytes < 2 * body_bytes, `${contents_bytes}`);
  assert.ok(objects_bytes > 100 && objects_bytes < 100_000, `${objects_bytes} B of objects`);
  const [first, last] = rests;
  assert.equal(last.messages, load.messages);
  assert.ok(first.messages < last.messages);
  const grown_bytes = last.heap_bytes + last.contents_bytes - first.heap_bytes -
    first.contents_bytes;
  const made_bytes = (contents_bytes + objects_bytes) * (last.messages - first.messages);
  assert.ok(grown_bytes < made_bytes / 20, `${grown_bytes} of ${made_bytes} B stayed`);
});
