/** Streams of gzip, read by zlib: whole, event by event, and shared. */
import assert from "node:assert/strict";
import { createGunzip, gunzipSync } from "node:zlib";
import { Buffer } from "node:buffer";
import { mostInOneTurn } from "../testing/most_in_one_turn.ts";
import { EventPacker, gzipped, GzipStream } from "./gzip.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);
const EVENTS = ["", "data: 1\n\n", `data: ${"long ".repeat(500)}\n\n`, "x".repeat(600), ":\n\n"];

Deno.test("a stream decompresses to its input, with correct checksum and size", () => {
  const random = crypto.getRandomValues(new Uint8Array(65_536));
  const incompressible = new Uint8Array([...random, ...random, 1]);
  const parts = [...EVENTS.map(bytesOf), incompressible, ...EVENTS.map(bytesOf)];
  const stream = new GzipStream(new EventPacker(512));
  const out = [stream.head, ...parts.map((part) => stream.pack(part)), stream.end()];
  assert.deepEqual(gunzipSync(Buffer.concat(out)), Buffer.concat(parts));
});

Deno.test("each event can be read once it has arrived", async () => {
  const stream = new GzipStream(new EventPacker(512));
  const reader = createGunzip();
  reader.write(stream.head);
  for (const event of EVENTS.filter((text) => text !== "")) {
    reader.write(stream.pack(bytesOf(event)));
    let text = "";
    while (text.length < event.length) {
      const chunk = await new Promise<Buffer>((resolve) => reader.once("data", resolve));
      text += chunk.toString();
    }
    assert.equal(text, event);
  }
  reader.destroy();
});

Deno.test("each event ends with a flush, without which Go's readers wait for later ones", () => {
  const stream = new GzipStream(new EventPacker(512));
  for (const event of EVENTS) {
    assert.deepEqual([...stream.pack(bytesOf(event)).slice(-4)], [0, 0, 0xff, 0xff]);
  }
});

Deno.test("an event is compressed once for all its readers, and is smaller", () => {
  const packer = new EventPacker(512);
  const event = bytesOf(EVENTS[2] ?? "");
  const one = new GzipStream(packer);
  const two = new GzipStream(packer);
  const packed = one.pack(event);
  two.pack(bytesOf("id: e:1\n"));
  assert.equal(two.pack(event), packed);
  assert.ok(packed.length < event.length / 10);
});

Deno.test("large bodies are compressed in pieces, and decompress to their input", async () => {
  const body = bytesOf(Array.from({ length: 50_000 }, (_, at) => `${at},`).join(""));
  const all = Array.from({ length: 8 }, () => gzipped(body, "acme"));
  assert.ok(await mostInOneTurn(all) <= 2);
  assert.deepEqual(new Uint8Array(gunzipSync(await all[0]!)), body);
});
