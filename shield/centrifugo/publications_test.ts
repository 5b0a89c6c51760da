/** Publications as deltas: what each of several clients of a room receives, and what is kept for them. */
import assert from "node:assert/strict";
import { createFossil } from "../fossil/encode.ts";
import { JSON_FORM } from "./forms.ts";
import type { Form } from "./forms.ts";
import type { Publication } from "./messages.ts";
import { DeltaBases, RoomMessages } from "./publications.ts";
import type { DeltaBase } from "./publications.ts";

const BOUNDS = { delta_bytes: 10_000, delta_message_bytes: 4_000 };
/** Deltas as they are, in place of a form's bytes. */
const PLAIN: Form = { ...JSON_FORM, encode: (reply) => JSON.stringify(reply.push?.pub) };

/** The text form's frame of an event with this JSON as data. */
const frameOf = (json: string) => `{"op":"msg","room":"r","type":"publication","data":${json}}`;
const json = (text: string, at = 0) => `{"n":${at},"text":"${text.repeat(100)}"}`;

const bytesOf = (text: string) => new TextEncoder().encode(text);

/** A client that reads deltas: one is from what it has received before. */
class Client {
  readonly forms: string[] = [];
  base: DeltaBase | undefined;
  #has = "";

  /** Receives data, whole or as a delta. */
  receive(messages: RoomMessages, bases: DeltaBases, sent: string): void {
    const publication = messages.of(frameOf(sent)).publication!;
    const reply = (pub: Publication) => ({ push: { channel: "r", pub } });
    const { written, base } = messages.folded(PLAIN, publication, this.base, reply);
    this.base = bases.replace(this.base, base);
    const { delta = false, data } = JSON.parse(written as string);
    const wanted = delta ? createFossil(bytesOf(this.#has), bytesOf(sent)) : bytesOf(sent);
    assert.deepEqual(bytesOf(JSON.parse(data.json)), wanted);
    this.forms.push(delta ? "delta" : "whole");
    this.#has = sent;
  }
}

function world(bounds = BOUNDS) {
  const bases = new DeltaBases(bounds);
  return { bases, messages: new RoomMessages(bases) };
}

Deno.test("the first publication is whole, later ones are diffs, also for who came between", () => {
  const { bases, messages } = world();
  const [first, second] = [new Client(), new Client()];
  for (let at = 0; at < 4; at++) {
    first.receive(messages, bases, json("ab ", at));
    if (at > 0) second.receive(messages, bases, json("ab ", at));
    if (at > 0) assert.equal(second.base, first.base, "they share what they have");
  }
  assert.deepEqual(first.forms, ["whole", "delta", "delta", "delta"]);
  assert.deepEqual(second.forms, ["whole", "delta", "delta"]);
  assert.equal(bases.bytes, json("ab ", 3).length);
  for (const { base } of [first, second]) bases.replace(base, undefined);
  assert.equal(bases.bytes, 0);
});

Deno.test("a diff that cuts a character is none in JSON; what is too long, or has no room, is whole", () => {
  const { bases, messages } = world();
  const cut = new Client();
  // é and è begin with the same byte, and end with another.
  for (const text of ["é", "è"]) {
    cut.receive(messages, bases, `"${"x".repeat(200)}${text}${"y".repeat(200)}"`);
  }
  assert.deepEqual(cut.forms, ["whole", "whole"]);
  const long = new Client();
  for (const data of [json("ab "), json("a".repeat(50)), json("ab "), json("ab ", 1)]) {
    long.receive(messages, bases, data);
  }
  assert.deepEqual(long.forms, ["whole", "whole", "whole", "delta"]);
  const narrow = world({ ...BOUNDS, delta_bytes: 100 });
  const poor = new Client();
  for (const at of [1, 2]) poor.receive(narrow.messages, narrow.bases, json("ab ", at));
  assert.deepEqual([poor.forms, narrow.bases.bytes], [["whole", "whole"], 0]);
});

Deno.test("of one message so many diffs are made, whatever its receivers have", () => {
  const { bases, messages } = world({ ...BOUNDS, delta_bytes: 1_000_000 });
  const clients = Array.from({ length: 30 }, () => new Client());
  for (const [at, client] of clients.entries()) {
    client.receive(messages, bases, json("ab ", at));
  }
  for (const client of clients) client.receive(messages, bases, json("ab ", 99));
  assert.equal(clients.filter(({ forms }) => forms.at(-1) === "delta").length, 16);
});
