/** Chunks of a journal: no byte is lost, no line is split, and the line numbers are right. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { journalChunks } from "./journal_chunks.ts";
import { streamOf } from "./testing/recorded.ts";

Deno.test("journal chunks: whole lines in order, whatever the pieces of the stream are", async () => {
  const line = fc.string({ unit: fc.constantFrom("a", "b", " "), maxLength: 12 });
  const given = fc.tuple(
    fc.array(line, { maxLength: 30 }),
    fc.boolean(),
    fc.integer({ min: 1, max: 20 }),
    fc.integer({ min: 1, max: 40 }),
  );
  await fc.assert(fc.asyncProperty(given, async ([lines, is_ended, piece, chunk_bytes]) => {
    const text = lines.join("\n") + (is_ended ? "\n" : "");
    let all = "";
    for await (const chunk of journalChunks(streamOf(text, piece), "test", chunk_bytes)) {
      assert.equal(chunk.first_line, all.split("\n").length);
      assert.ok(all === "" || all.endsWith("\n"));
      all += new TextDecoder().decode(chunk.bytes);
      // A chunk may be transferred to another thread.
      chunk.bytes.buffer.transfer();
    }
    assert.equal(all, text);
  }));
});
