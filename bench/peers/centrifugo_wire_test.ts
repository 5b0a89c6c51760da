/** Tests of Centrifugo's Protobuf messages against bytes written by hand from its `client.proto`. */
import assert from "node:assert/strict";
import { type BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { encodeCommand, parseCentrifugo } from "./centrifugo_wire.ts";

const ascii = (text: string) => [...new TextEncoder().encode(text)];
/** A field with a length; content of up to 127 bytes. */
const field = (number: number, content: number[]) => [number << 3 | 2, content.length, ...content];
const delimited = (content: number[]) => [content.length, ...content];

function read(bytes: number[]): unknown[] {
  const found: unknown[] = [];
  parseCentrifugo(new Uint8Array(bytes), {
    onMessage: (body) => void found.push([...body]),
    onPing: () => void found.push("ping"),
    onReply: (id, error) => void found.push(error === undefined ? id : `${id} ${error}`),
    onEnd: (why) => void found.push(why),
  });
  return found;
}

const publication = (data: number[]) => {
  const info = field(5, field(2, ascii("client-id")));
  const pub = [...field(4, data), ...info, 6 << 3, 150, 1];
  return delimited(field(4, [...field(2, ascii("room")), ...field(4, pub)]));
};

Deno.test("a frame's replies, pushes and pings come out in order", () => {
  const connected = delimited([8, 1, ...field(5, field(1, ascii("id")))]);
  const refused = delimited([8, 2, ...field(2, [8, 103, ...field(2, ascii("denied"))])]);
  const frame = [...connected, ...publication([0, 255]), 0, ...refused, ...publication([])];
  assert.deepEqual(read(frame), [1, [0, 255], "ping", "2 denied", []]);
});

Deno.test("the end of a subscription or of the connection is told with its reason", () => {
  const push = (kind: number, content: number[]) =>
    delimited(field(4, [...field(2, ascii("room")), ...field(kind, content)]));
  const unsubscribe = push(7, [16, 5, ...field(3, ascii("gone"))]);
  const disconnect = push(11, [8, 5, ...field(2, ascii("slow"))]);
  assert.deepEqual(read([...unsubscribe, ...disconnect]), [
    "unsubscribe: gone",
    "disconnect: slow",
  ]);
});

Deno.test("a frame that ends within a message is an error", () => {
  assert.throws(() => read(publication([1, 2, 3]).slice(0, -1)));
});

Deno.test("commands carry their number and request behind their length", () => {
  const connect = encodeCommand(1, "connect", (writer) => writer);
  assert.deepEqual([...connect], delimited([8, 1, ...field(4, [])]));
  const fields = (writer: BinaryWriter) =>
    writer.tag(1, WireType.LengthDelimited).string("room")
      .tag(2, WireType.LengthDelimited).bytes(new Uint8Array([9]));
  const publish = encodeCommand(3, "publish", fields);
  const request = [...field(1, ascii("room")), ...field(2, [9])];
  assert.deepEqual([...publish], delimited([8, 3, ...field(7, request)]));
});
