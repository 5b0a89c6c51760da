/** Events do not depend on the sizes of received pieces. */
import assert from "node:assert/strict";
import { EventParser } from "./http_socket.ts";

const STREAM =
  'retry: 5\n\n:\n\nevent: session\ndata: {"a":"ö"}\n\ndata: 1\r\ndata:2\r\n\r\ndata: x';

Deno.test("events are complete, however their bytes are split", () => {
  const bytes = new TextEncoder().encode(STREAM);
  for (const size of [1, 2, 3, 7, 1_000]) {
    const parser = new EventParser();
    const events = [];
    for (let at = 0; at < bytes.length; at += size) {
      events.push(...parser.read(bytes.subarray(at, at + size)));
    }
    assert.deepEqual(events, [
      { name: "session", data: '{"a":"ö"}' },
      { name: "message", data: "1\n2" },
    ]);
  }
});
