/** Bodies become messages, and messages bodies, with unchanged bytes. */
import assert from "node:assert/strict";
import { turnsDuring } from "../../shared/testing/turns_during.ts";
import { bodyOf, eventText, isText, messagesOf, typeOf } from "./content.ts";
import { StreamRefusal } from "./answers.ts";
import { createParser } from "eventsource-parser";
import * as fc from "fast-check";
import { eventBytes } from "../sse/event_text.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (body: Uint8Array) => new TextDecoder().decode(body);
const LIMITS = { messages: 3, may_be_empty: false };
const messages = (body: string) =>
  messagesOf(bytes(body), "application/json; charset=utf-8", LIMITS).map(text);

Deno.test("content: a JSON array is split once, and each item stays unchanged", async () => {
  assert.deepEqual(messages(' [ {"a" : 1.0}, [2,  3],"],[" ] '), [
    '{"a" : 1.0}',
    "[2,  3]",
    '"],["',
  ]);
  assert.deepEqual(messages(' {"n":12345678901234567890} '), ['{"n":12345678901234567890}']);
  assert.equal(
    text(await bodyOf([bytes("1.0"), bytes("[2]")], "application/json", "t")),
    "[1.0,[2]]",
  );
  assert.equal(text(await bodyOf([], "application/json", "t")), "[]");
});

Deno.test("content: invalid JSON, empty content and too much content are refused", () => {
  const refused = (body: string | Uint8Array, code: number) =>
    assert.throws(
      () => messagesOf(typeof body === "string" ? bytes(body) : body, "application/json", LIMITS),
      (error) => error instanceof StreamRefusal && error.code === code,
    );
  refused("[]", 400);
  refused("{", 400);
  refused(new Uint8Array([0x22, 0xff, 0x22]), 400);
  refused("[1,2,3,4]", 413);
  const may_be_empty = true;
  assert.deepEqual(messagesOf(bytes("[]"), "application/json", { ...LIMITS, may_be_empty }), []);
});

Deno.test("content: JSON that many parsers reject is refused, and shown as base64", async () => {
  const deep = bytes("[".repeat(97) + "]".repeat(97));
  const refused = { reason: "stream-invalid", message: /nested more than 96 levels deep/ };
  assert.throws(() => messagesOf(deep, "application/json", LIMITS), refused);
  const body = text(await bodyOf([deep], "application/json", "t"));
  assert.deepEqual(JSON.parse(body), [deep.toBase64()]);
});

Deno.test("content: a JSON stream shows messages that are not JSON as base64", async () => {
  const body = await bodyOf(
    [new Uint8Array([0xff]), bytes("nope"), bytes("")],
    "application/json",
    "t",
  );
  assert.deepEqual(JSON.parse(text(body)), ["/w==", "bm9wZQ==", null]);
});

Deno.test("content: other types are joined bytes", async () => {
  const parts = [new Uint8Array([0, 255]), new Uint8Array([10])];
  assert.deepEqual([...await bodyOf(parts, "application/x", "t")], [0, 255, 10]);
  assert.equal(isText("Text/Plain; charset=x"), true);
  assert.equal(isText("application/octet-stream"), false);
});

Deno.test("content: an event keeps every line separate, and no line can end the event", async () => {
  const event = await eventText("data", "a\r\n\r\nevent: control\rdata: x\n b", "t");
  assert.equal(
    event,
    "event: data\ndata:a\ndata:\ndata:event: control\ndata:data: x\ndata:  b\n\n",
  );
});

Deno.test("content: an event of many lines is made in turns with other work, wherever its pieces end", async () => {
  for (const end of ["\n", "\r", "\r\n", "\r\n ", "\n ", " ", "a\r\n"]) {
    const data = end.repeat(70_000);
    const { value, turns } = await turnsDuring(() => eventText("data", data, "t"));
    const lines = data.split(/\r\n|\r|\n/).map((line) =>
      `data:${line.startsWith(" ") ? " " : ""}${line}\n`
    );
    assert(value === `event: data\n${lines.join("")}\n`, JSON.stringify(end));
    assert(turns >= 3, `${turns} turns`);
  }
});

Deno.test("content: a request has one type or none", () => {
  assert.equal(typeOf(" application/vnd.a+json; x=1 "), "application/vnd.a+json; x=1");
  for (const none of [null, "", "text", "/x", `text/${"x".repeat(300)}`]) {
    assert.equal(typeOf(none), undefined);
  }
});

// Both writers of events, of rooms and of streams, against npm's parser of them.

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
