/**
 * Parses frames for `frames_by_wsproto.py`: a line of hexadecimal bytes on stdin is what one connection sends; a line
 * of JSON on stdout is our reader's result.
 */
import { createInterface } from "node:readline";
import process from "node:process";
import { BINARY } from "../../shield/socket/frame_head.ts";
import { decodeText, FrameReader } from "../../shield/socket/frame_reader.ts";

const MESSAGE_BYTES_MAX = 100_000;

function eventsOf(bytes: Uint8Array<ArrayBuffer>): unknown[] {
  const events: unknown[] = [];
  let over = false;
  const add = (...event: unknown[]) => {
    if (!over) events.push(event);
    over ||= event[0] === "closed" || event[0] === "failed";
  };
  const hex = (body: Uint8Array) => body.toHex();
  const reader = new FrameReader(
    {
      message(opcode, body) {
        if (opcode === BINARY) return add("binary", hex(body));
        if (decodeText(body) === undefined) add("failed", 1007);
        else add("text", hex(body));
      },
      ping: (body) => add("ping", hex(body)),
      pong: () => add("pong"),
      closed: (code) => add("closed", code),
      failed: (code) => add("failed", code),
      pauses: false,
    },
    MESSAGE_BYTES_MAX,
    false,
  );
  reader.read(bytes);
  return events;
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(eventsOf(Uint8Array.fromHex(line))));
}
