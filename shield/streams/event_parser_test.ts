/** Both writers of events, of rooms and of streams, against npm's parser of them. */
import assert from "node:assert/strict";
import { createParser } from "eventsource-parser";
import * as fc from "fast-check";
import { eventBytes } from "../sse/event_text.ts";
import { eventText } from "./content.ts";

const decoder = new TextDecoder();
const WRITERS = {
  rooms: (text: string) => Promise.resolve(decoder.decode(eventBytes("data", text))),
  streams: (text: string) => eventText("data", text, "t"),
};

for (const [name, write] of Object.entries(WRITERS)) {
  Deno.test(`npm's parser reads each event of ${name} unchanged, with uniform line ends`, async () => {
    const piece = fc.constantFrom("\r", "\n", "\r\n", " ", "data:", "event: x", ":", "id: 1", "");
    const text = fc.array(fc.oneof(piece, fc.string()), { maxLength: 12 }).map((all) =>
      all.join("")
    );
    await fc.assert(fc.asyncProperty(fc.array(text, { maxLength: 5 }), async (all) => {
      const read: string[] = [];
      const parser = createParser({ onEvent: ({ event, data }) => read.push(`${event} ${data}`) });
      for (const one of all) parser.feed(await write(one));
      assert.deepEqual(read, all.map((one) => `data ${one.replace(/\r\n|\r|\n/g, "\n")}`));
    }));
  });
}
