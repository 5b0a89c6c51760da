/** Tests of deltas: the frames of several clients in a room, and their bases. */
import assert from "node:assert/strict";
import { encodeMsg, encodeUtf8, strictText, writeEnvelope } from "@arqon/proto";
import { createFossil } from "../../shared/fossil/encode.ts";
import { JSON_FORM } from "./forms.ts";
import type { Publication } from "./messages.ts";
import { type DeltaBase, DeltaBases, RoomMessages } from "./publications.ts";

const BOUNDS = { delta_bytes: 10_000, delta_message_bytes: 4_000 };
/** Frames by their text: all clients receive the same one. */
const frames = new Map<string, Uint8Array>();

/** The frame of an event with this JSON as data. */
function frameOf(json: string): Uint8Array {
  const event = { type: "publication", data: encodeUtf8(json), content_type: "application/json" };
  return frames.getOrInsertComputed(json, () => encodeMsg(writeEnvelope({ room_id: "r", event })));
}
const json = (text: string, at = 0) => `{"n":${at},"text":"${text.repeat(100)}"}`;

/** A client with deltas. It checks each one against the data that it received last. */
class Client {
  readonly forms: string[] = [];
  base: DeltaBase | undefined;
  #has = "";

  /** Receives the full data or a delta. */
  receive(messages: RoomMessages, bases: DeltaBases, sent: string): void {
    const publication = messages.of(frameOf(sent)).publication!;
    const reply = (pub: Publication) => ({ push: { channel: "r", pub } });
    const { written, base } = messages.folded(JSON_FORM, publication, this.base, reply);
    this.base = bases.replace(this.base, base);
    const { delta = false, data } = JSON.parse(written as string).push.pub;
    const wanted = delta ? createFossil(encodeUtf8(this.#has), encodeUtf8(sent)) : encodeUtf8(sent);
    assert.deepEqual(encodeUtf8(data), wanted);
    this.forms.push(delta ? "delta" : "whole");
    this.#has = sent;
  }
}

function world(bounds = BOUNDS) {
  const bases = new DeltaBases(bounds);
  return { bases, messages: new RoomMessages(bases) };
}

Deno.test("the first publication is full, later ones are diffs, also for a client that joins later", () => {
  const { bases, messages } = world();
  const first = new Client();
  const second = new Client();
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

Deno.test("a publication is full if a diff splits a character, the data is too long, or memory is full", () => {
  const { bases, messages } = world();
  const cut = new Client();
  // é and è share the first byte, and differ in the second.
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

Deno.test("a message has at most 16 diffs, whatever the bases of its receivers", () => {
  const { bases, messages } = world({ ...BOUNDS, delta_bytes: 1_000_000 });
  const clients = Array.from({ length: 30 }, () => new Client());
  for (const [at, client] of clients.entries()) {
    client.receive(messages, bases, json("ab ", at));
  }
  for (const client of clients) client.receive(messages, bases, json("ab ", 99));
  assert.equal(clients.filter(({ forms }) => forms.at(-1) === "delta").length, 16);
});

Deno.test("empty data is null for JSON clients, except for a text type", () => {
  const { messages } = world();
  const sent = ["", "application/json", "text/plain", "application/octet-stream"].map(
    (content_type) => {
      const event = { type: "publication", data: new Uint8Array(), content_type };
      const { publication } = messages.of(encodeMsg(writeEnvelope({ room_id: "r", event })));
      const json = JSON.parse(String(JSON_FORM.encode({ push: { pub: publication! } })));
      return [json.push.pub.data, strictText(publication!.data!.bytes)];
    },
  );
  assert.deepEqual(sent, [[null, "null"], [null, "null"], ["", ""], [null, ""]]);
});
