/** Server-sent events, wherever the bytes are split. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { readEvents } from "../commands/cluster/tail.ts";
import type { ServerEvent } from "../../sdk/typescript/http/http_socket.ts";

function streamOf(chunks: Iterable<Uint8Array>): ReadableStream<Uint8Array> {
  return ReadableStream.from(chunks);
}

async function events(chunks: Iterable<Uint8Array>): Promise<ServerEvent[]> {
  return await Array.fromAsync(readEvents(streamOf(chunks)));
}

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("names, several data lines, comments and both line ends are understood", async () => {
  const text =
    ": beat\n\ndata: {}\n\nevent: gap\r\ndata: a\r\ndata:b\r\n\r\nid: 3\nevent: x\n\ndata: cut";
  assert.deepEqual(await events([bytes(text)]), [
    { name: "message", data: "{}" },
    { name: "gap", data: "a\nb" },
  ]);
});

Deno.test("events are the same wherever the stream is cut", async () => {
  const line = fc.string({ unit: "grapheme", maxLength: 20 }).map((text) =>
    text.replace(/[\r\n]/g, "")
  );
  await fc.assert(fc.asyncProperty(
    fc.array(fc.array(line, { minLength: 1, maxLength: 3 }), { maxLength: 5 }),
    fc.array(fc.nat(200), { maxLength: 8 }),
    async (wanted, cuts) => {
      const all = bytes(
        wanted.map((lines) => lines.map((one) => `data: ${one}\n`).join("") + "\n").join(""),
      );
      const at = [...new Set(cuts.map((cut) => Math.min(cut, all.length)))].sort((a, b) => a - b);
      const chunks = [0, ...at].map((start, index) => all.slice(start, at[index] ?? all.length));
      const got = await events(chunks);
      assert.deepEqual(got.map(({ data }) => data), wanted.map((lines) => lines.join("\n")));
    },
  ));
});

Deno.test("an endless event is an error, and comments are skipped", async () => {
  const piece = bytes("x".repeat(4_194_304));
  await assert.rejects(events(Array.from({ length: 9 }, () => piece)), RangeError);
  const beat = bytes(`: ${"x".repeat(4_194_304)}\n\n`);
  assert.deepEqual(await events(Array.from({ length: 9 }, () => beat)), []);
});
