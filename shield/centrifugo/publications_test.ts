/** Publications as deltas: what each of several clients of a room receives, and what is kept for them. */
import assert from "node:assert/strict";
import { applyFossil } from "../../sdk/typescript/delta/fossil.ts";
import { DeltaBases } from "./deltas.ts";
import type { DeltaBase } from "./deltas.ts";
import { JSON_FORM } from "./forms.ts";
import type { Form } from "./forms.ts";
import type { Publication } from "./messages.ts";
import { RoomMessages } from "./publications.ts";

const BOUNDS = { delta_bytes: 10_000, delta_message_bytes: 4_000 };
/** Deltas as they are, in place of a form's bytes. */
const PLAIN: Form = { ...JSON_FORM, encode: (reply) => JSON.stringify(reply.push?.pub) };

/** The text form's frame of an event with this JSON as data. */
const frameOf = (json: string) => `{"op":"msg","room":"r","type":"publication","data":${json}}`;
const json = (text: string, at = 0) => `{"n":${at},"text":"${text.repeat(100)}"}`;

/** A client that reads deltas, as their libraries do. */
class Client {
  readonly forms: string[] = [];
  base: DeltaBase | undefined;
  #has: Uint8Array = new Uint8Array(0);

  receive(messages: RoomMessages, bases: DeltaBases, frame: string): string {
    const publication = messages.of(frame).publication!;
    const reply = (pub: Publication) => ({ push: { channel: "r", pub } });
    const { written, base } = messages.folded(PLAIN, publication, this.base, reply);
    this.base = bases.replace(this.base, base);
    const { delta = false, data } = JSON.parse(written as string);
    const bytes = new TextEncoder().encode(JSON.parse(data.json));
    this.forms.push(delta ? "delta" : "whole");
    this.#has = delta ? applyFossil(this.#has, bytes, 1_000_000) : bytes;
    return new TextDecoder().decode(this.#has);
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
    const frame = frameOf(json("ab ", at));
    assert.equal(first.receive(messages, bases, frame), json("ab ", at));
    if (at > 0) assert.equal(second.receive(messages, bases, frame), json("ab ", at));
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
    const data = `"${"x".repeat(200)}${text}${"y".repeat(200)}"`;
    assert.equal(cut.receive(messages, bases, frameOf(data)), data);
  }
  assert.deepEqual(cut.forms, ["whole", "whole"]);
  const long = new Client();
  for (const data of [json("ab "), json("a".repeat(50)), json("ab "), json("ab ", 1)]) {
    assert.equal(long.receive(messages, bases, frameOf(data)), data);
  }
  assert.deepEqual(long.forms, ["whole", "whole", "whole", "delta"]);
  const narrow = world({ ...BOUNDS, delta_bytes: 100 });
  const poor = new Client();
  for (const at of [1, 2]) poor.receive(narrow.messages, narrow.bases, frameOf(json("ab ", at)));
  assert.deepEqual([poor.forms, narrow.bases.bytes], [["whole", "whole"], 0]);
});

Deno.test("of one message so many diffs are made, whatever its receivers have", () => {
  const { bases, messages } = world({ ...BOUNDS, delta_bytes: 1_000_000 });
  const clients = Array.from({ length: 30 }, () => new Client());
  for (const [at, client] of clients.entries()) {
    client.receive(messages, bases, frameOf(json("ab ", at)));
  }
  const last = frameOf(json("ab ", 99));
  for (const client of clients) assert.equal(client.receive(messages, bases, last), json("ab ", 99));
  assert.equal(clients.filter(({ forms }) => forms.at(-1) === "delta").length, 16);
});
