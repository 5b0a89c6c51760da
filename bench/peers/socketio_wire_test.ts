/** Tests of Socket.IO's packets, each as version 5 of its protocol shows them. */
import assert from "node:assert/strict";
import { parseSocketIo, publishHead } from "./socketio_wire.ts";

const parse = (text: string) => parseSocketIo(new TextEncoder().encode(text));

Deno.test("each packet that a server sends is told apart", () => {
  assert.deepEqual(parse('0{"sid":"x","upgrades":[]}'), { kind: "open" });
  assert.deepEqual(parse("2"), { kind: "ping" });
  assert.deepEqual(parse('40{"sid":"y"}'), { kind: "connected" });
  assert.deepEqual(parse("41"), { kind: "disconnected" });
  assert.deepEqual(parse("4312[]"), { kind: "ack", id: 12 });
  assert.deepEqual(parse('44{"message":"no"}'), { kind: "refused", why: '{"message":"no"}' });
  assert.deepEqual(parse('451-["msg",{"_placeholder":true,"num":0}]'), { kind: "attachment" });
  assert.deepEqual(parse('42["text","event"]'), { kind: "other" });
  assert.deepEqual(parse("6"), { kind: "other" });
  assert.deepEqual(parse(""), { kind: "other" });
});

Deno.test("a room's name is written as JSON", () => {
  const text = new TextDecoder().decode(publishHead('a "room"'));
  assert.equal(text, '451-["pub","a \\"room\\"",{"_placeholder":true,"num":0}]');
});
