/** The bound of a server-sent event; `sdk/typescript/http/http_socket_test.ts` has the parser. */
import assert from "node:assert/strict";
import { readEvents } from "./tail.ts";
import type { ServerEvent } from "../../../sdk/typescript/http/http_socket.ts";

const events = (chunks: Iterable<Uint8Array>): Promise<ServerEvent[]> =>
  Array.fromAsync(readEvents(ReadableStream.from(chunks)));

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("an endless event is an error, and comments are skipped", async () => {
  const piece = bytes("x".repeat(4_194_304));
  await assert.rejects(events(Array.from({ length: 9 }, () => piece)), RangeError);
  const beat = bytes(`: ${"x".repeat(4_194_304)}\n\n`);
  assert.deepEqual(await events(Array.from({ length: 9 }, () => beat)), []);
});
