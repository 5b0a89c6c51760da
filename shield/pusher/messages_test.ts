/** Frames of a Shield and messages of the Pusher protocol: published data is received unchanged. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { eventText, readClientMessage, readRoomMessage, RoomMessages } from "./messages.ts";

Deno.test("published JSON is the client's data, unchanged", () => {
  for (
    const data of ['{"a": 1.0}', "[1,  2]", '"x"', "null", "123456789012345678901", '"\\u00e4"']
  ) {
    const frame = `{"op":"msg","room":"r","type":"t","data":${data},"sender":"s","headers":{}}`;
    assert.equal(JSON.parse(readRoomMessage(frame).data), data);
  }
});

Deno.test("text stays text, and bytes have the bus's JSON form", () => {
  const of = (data: string, type: string) =>
    readRoomMessage(`{"op":"msg","room":"r","type":"t","data":${data},"content_type":"${type}"}`);
  assert.equal(JSON.parse(of('"a \\"word\\""', "text/plain").data), 'a "word"');
  assert.equal(JSON.parse(of('{"base64":"AA=="}', "image/png").data), '{"base64":"AA=="}');
  assert.equal(of('{"base64":"AA=="}', "image/png").json, undefined);
});

Deno.test("a client's data is passed on unchanged", () => {
  fc.assert(fc.property(fc.json(), fc.string(), (data, channel) => {
    const text = eventText("client-x", data, channel);
    assert.deepEqual(readClientMessage(text), { event: "client-x", channel, data });
  }));
});

Deno.test("data that is only passed on is not parsed, however it is written", () => {
  const { parse } = JSON;
  const parsed: string[] = [];
  JSON.parse = (text: string) => {
    parsed.push(text);
    return parse(text);
  };
  try {
    const data = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
    const text = ` { "event" : "client-\\u0078" , "channel" : null , "data" : ${data} } `;
    assert.deepEqual(readClientMessage(text), { event: "client-x", channel: undefined, data });
  } finally {
    JSON.parse = parse;
  }
  assert.deepEqual(parsed, ['"client-\\u0078"']);
});

Deno.test("an invalid message is refused", () => {
  for (
    const odd of ["", "1", "[]", "null", "{", "{}", '{"event":1}', '{"event":"x","channel":1}']
  ) {
    assert.throws(() => readClientMessage(odd), { reason: "malformed-frame" });
  }
  const long = JSON.stringify("x".repeat(32_767));
  assert.throws(() => readClientMessage(eventText("pusher:subscribe", long)), {
    reason: "malformed-frame",
  });
  assert.equal(readClientMessage(eventText("client-x", long)).data, long);
  assert.throws(() => readClientMessage('{"event":"a","data":1,"data":2}'), {
    reason: "repeated-field",
  });
});

Deno.test("pusher: the event of a message is one text for all sockets of a channel", () => {
  const messages = new RoomMessages();
  const frame = '{"op":"msg","room":"r","type":"client-x","sender":"s","data":[1]}';
  const event = () => messages.eventOf(messages.of(frame), "c", undefined);
  assert.deepEqual(JSON.parse(event()), { event: "client-x", channel: "c", data: "[1]" });
  assert.equal(event(), event());
  const decoded = JSON.parse(messages.eventOf(messages.of(frame), "c", "ann"));
  assert.deepEqual(decoded, { event: "client-x", channel: "c", data: "[1]", user_id: "ann" });
  assert.equal(JSON.parse(messages.eventOf(messages.of(frame), "d", "ann")).channel, "d");
});
