// Updates in several parts: which are complete, and up to which offset a snapshot may claim to have everything.
import assert from "node:assert/strict";
import type { Message } from "@arqon/sdk";
import { Assembler } from "./read_log.ts";
import { partOf, split } from "./records.ts";

function message(offset: number, text: string, part?: [string, string], timestamp_ms = 0): Message {
  const headers = part === undefined ? {} : { "x-yjs-set": part[0], "x-yjs-part": part[1] };
  const data = new TextEncoder().encode(text);
  const stored = { offset, id: `m${offset}`, type: "yjs.update", data, headers, timestamp_ms };
  return stored as unknown as Message;
}

const text = (bytes: Uint8Array | undefined) => bytes && new TextDecoder().decode(bytes);

Deno.test("an update in parts counts with its last part, in any order and with other messages in between", () => {
  const assembler = new Assembler();
  assert.equal(text(assembler.take(message(3, "one"))), "one");
  assert.equal(assembler.take(message(5, "C", ["s", "2/3"])), undefined);
  assert.equal(text(assembler.take(message(6, "two"))), "two");
  assert.equal(assembler.take(message(7, "A", ["s", "0/3"])), undefined);
  assert.equal(assembler.take(message(8, "A", ["s", "0/3"])), undefined, "sent twice");
  assert.equal(text(assembler.take(message(9, "B", ["s", "1/3"]))), "ABC");
  assert.deepEqual(assembler.floor, { offset: 9, id: "m9" });
});

Deno.test("a snapshot contains nothing after the first part of an incomplete update", () => {
  const assembler = new Assembler();
  assert.equal(assembler.floor, undefined);
  assembler.take(message(3, "one"));
  assembler.take(message(5, "A", ["s", "0/2"]));
  assembler.take(message(6, "two"));
  assembler.take(message(7, "A", ["t", "0/2"]));
  assert.deepEqual(assembler.floor, { offset: 3, id: "m3" });
  assembler.take(message(8, "B", ["s", "1/2"]));
  assert.deepEqual(assembler.floor, { offset: 6, id: "m6" });
  assert.deepEqual(assembler.last, { offset: 8, id: "m8" });
});

Deno.test("late parts make no update, and do not delay a snapshot forever", () => {
  const assembler = new Assembler();
  assembler.take(message(1, "one"));
  assembler.take(message(2, "A", ["s", "0/2"], 0));
  assert.equal(assembler.take(message(3, "B", ["s", "1/2"], 300_001)), undefined);
  assert.deepEqual(assembler.floor, { offset: 1, id: "m1" });
  assembler.take(message(4, "two", undefined, 600_001));
  assert.deepEqual(assembler.floor, { offset: 4, id: "m4" });
});

Deno.test("a message with invalid headers counts as a complete one", () => {
  for (const part of ["3/3", "0/0", "0/9999", "-1/2", "a/b", "0/2/3"]) {
    assert.equal(partOf(message(1, "x", ["s", part])), undefined, part);
  }
  assert.deepEqual(split(new Uint8Array(0), 4).length, 1);
  assert.deepEqual(split(new Uint8Array(9), 4).map(({ length }) => length), [4, 4, 1]);
});
