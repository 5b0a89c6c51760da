/** Tests of the two encodings of Centrifugo's protocol: decoding, refusals and data. */
import assert from "node:assert/strict";
import { DecodeError, encodeUtf8, WireWriter } from "@arqon/proto";
import { dataOf, JSON_FORM, PROTOBUF_FORM } from "./forms.ts";
import { type Data, jsonData, type Reply } from "./messages.ts";

Deno.test("JSON lines decode to commands that keep the text of data", () => {
  const [first, second, pong] = JSON_FORM.decode(
    '{"id":1,"publish":{"channel":"a","data": {"n": 12345678901234567890}}}\n\n' +
      '{"id":2,"history":{"channel":"a","limit":-1,"since":{"offset":3,"epoch":"e"}},"new":[1]}\n{}\n',
  );
  assert.deepEqual(first?.publish, { channel: "a", data: jsonData('{"n": 12345678901234567890}') });
  assert.deepEqual(second?.history, { channel: "a", limit: -1, since: { offset: 3, epoch: "e" } });
  assert.deepEqual(pong, {});
});

Deno.test("JSON null is data, and no other field", () => {
  const line = '{"id":1,"publish":{"channel":null,"data": null }}';
  assert.deepEqual(JSON_FORM.decode(line), [{ id: 1, publish: { data: jsonData("null") } }]);
  assert.deepEqual(JSON_FORM.decode('{"publish":{}}'), [{ publish: {} }]);
});

Deno.test("both encodings refuse invalid commands", () => {
  const odd = [
    ...["x", "[]", "1", "null", '{"id":"1"}', '{"id":1.5}', '{"id":1,"id":2}', '{"connect":1}'],
    ...['{"publish":{"channel":7}}', "{}\n".repeat(1_025), new Uint8Array(2)],
  ];
  for (const frame of odd) assert.throws(() => JSON_FORM.decode(frame), DecodeError, String(frame));
  // Truncated frames, a field of the wrong type, and a nested message longer than its parent.
  const frames = ["{}", [5], [2, 8], [2, 10, 0], [2, 0x22, 9, 0, 0], Array(1_025).fill(0)];
  for (const frame of frames) {
    const bytes = typeof frame === "string" ? frame : new Uint8Array(frame);
    assert.throws(() => PROTOBUF_FORM.decode(bytes), DecodeError, String(frame));
  }
  assert.deepEqual(PROTOBUF_FORM.decode(new Uint8Array([0, 2, 8, 7])), [{}, { id: 7 }]);
});

/** The data that a JSON client receives. */
const received = (data: Data) =>
  JSON.parse(String(JSON_FORM.encode({ push: { pub: { data } } }))).push.pub.data;

Deno.test("bytes that are JSON reach a JSON client as JSON, others as text or base64", () => {
  for (const json of ['{"a":1}', '"x"', " 1", "null", "-0", "\t[]"]) {
    assert.deepEqual(dataOf(encodeUtf8(json)), jsonData(json));
    assert.deepEqual(received(jsonData(json)), JSON.parse(json));
  }
  for (const bytes of [new Uint8Array([0xff, 0]), new Uint8Array([0x7b, 0xff]), encodeUtf8("no")]) {
    const data = dataOf(bytes);
    assert.deepEqual(data, { bytes, content_type: "application/octet-stream" });
    assert.deepEqual(received(data), { base64: bytes.toBase64() });
  }
  const text = (content_type: string) => received({ bytes: encodeUtf8('"x"'), content_type });
  assert.equal(text("text/csv"), '"x"');
  assert.equal(text("application/vnd.a+json"), "x");
  assert.deepEqual(text("application/json-seq"), { base64: "Ingi" });
  // Empty data is not JSON, and would make the line invalid.
  for (const content_type of ["", "application/json", "application/octet-stream"]) {
    assert.equal(received({ bytes: new Uint8Array(), content_type }), null);
  }
});

Deno.test("names of tags and channels never turn a value into data", () => {
  const bytes = { bytes: "}}", content_type: "" };
  const subs = Object.fromEntries(["bytes", "content_type", "data"].map((name) => [name, {}]));
  const reply: Reply = { push: { channel: "a", pub: { tags: bytes } }, connect: { subs } };
  assert.deepEqual(JSON.parse(String(JSON_FORM.encode(reply))), reply);
});

Deno.test("JSON replies include zeros, and both encodings write lists and maps", () => {
  const info = { user: "ann", client: "c1" };
  const reply: Reply = {
    id: 300,
    presence: { presence: { c1: info } },
    history: { publications: [{ offset: 1 }, { offset: 2 }], epoch: "e", offset: 0 },
  };
  assert.equal(
    JSON_FORM.encode(reply),
    '{"id":300,"presence":{"presence":{"c1":{"user":"ann","client":"c1"}}},' +
      '"history":{"publications":[{"offset":1},{"offset":2}],"epoch":"e","offset":0}}',
  );
  const writer = new WireWriter();
  writer.uint32(1, 300);
  const presence = writer.open(9);
  const entry = writer.open(1);
  writer.text(1, "c1");
  const value = writer.open(2);
  writer.text(1, "ann");
  writer.text(2, "c1");
  for (const mark of [value, entry, presence]) writer.close(mark);
  const history = writer.open(11);
  for (const offset of [1, 2]) {
    const publication = writer.open(1);
    writer.uint64(6, offset);
    writer.close(publication);
  }
  writer.text(2, "e");
  writer.close(history);
  const body = writer.finish();
  assert.deepEqual(PROTOBUF_FORM.encode(reply), new Uint8Array([body.length, ...body]));
});
