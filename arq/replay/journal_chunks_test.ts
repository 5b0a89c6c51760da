/** Chunks of a journal: no byte is lost, no line is split, and the line numbers are right. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { gzipSync } from "node:zlib";
import { recordOf } from "../../shared/journal/testing/records.ts";
import { diskIo, folderWith } from "../testing/disk_io.ts";
import { fileChunks } from "./bus_replay.ts";
import { journalChunks, journalRecords, openEndText } from "./journal_chunks.ts";
import { linesOf, streamOf } from "./testing/recorded.ts";

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

const LINES = linesOf(["a", "b", "c"].map((id) => recordOf({ id, message: '"}{"' })));

/** What is read of a file with these bytes. */
async function readOf(content: string | Uint8Array<ArrayBuffer>) {
  await using folder = await folderWith({ "j.ndjson": content });
  const counts = {
    lines: 0,
    bad_lines: 0,
    holes: 0,
    answers: { open: 0, whole: 0 },
    first_bad: null as { line: number; problem: string } | null,
  };
  const ids: string[] = [];
  const chunks = await fileChunks(diskIo(folder.path), "j.ndjson");
  for await (const { id } of journalRecords(chunks, counts)) ids.push(id);
  const { first_bad: bad, answers } = counts;
  return [ids.join(""), bad && `${bad.line} ${bad.problem}`, openEndText(answers)];
}

Deno.test("journal files: whole, compressed, joined, cut off, or answers of the admin API", async () => {
  const gzip = (text: string) => new Uint8Array(gzipSync(text));
  assert.deepEqual(await readOf(LINES), ["abc", null, ""]);
  const parts = [...gzip(LINES), ...gzip(LINES)];
  assert.deepEqual(await readOf(Uint8Array.from(parts)), ["abcabc", null, ""]);
  await assert.rejects(readOf(gzip(LINES).subarray(0, -9)), /gzip file is cut off or damaged/);
  assert.deepEqual(await readOf(LINES.trimEnd() + LINES), ["abcabc", null, ""]);
  assert.deepEqual(await readOf(LINES.slice(0, -9)), ["ab", "3 the file is cut off within it", ""]);
  const end = (is_end: boolean) => `${JSON.stringify({ next: "1.2~x", is_end })}\n`;
  assert.deepEqual(await readOf(LINES + end(false) + LINES + end(true)), ["abcabc", null, ""]);
  const [ids, bad, open] = await readOf(LINES + end(false));
  assert.deepEqual([ids, bad], ["abc", null]);
  assert.match(`${open}`, /continue it with after=/);
  // A Shield's numbers begin with its clock.
  const ids_of_two = ["s.1.1796130041534001", "s.1.1796130041534002"];
  const numbered = linesOf(ids_of_two.map((id) => recordOf({ id, message: "ä" })));
  assert.deepEqual(await readOf(numbered + numbered), [ids_of_two.join(""), null, ""]);
  const refusal = `{"type":"urn:arqon:error:not-granted","title":"Not granted","status":403}`;
  assert.equal((await readOf(refusal))[1], "1 a refusal of the admin API: not-granted");
  assert.match(`${(await readOf(`[${LINES}]`))[1]}`, /^1 a list/);
});
