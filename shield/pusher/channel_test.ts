/** Names of channels and rooms: each channel has one room, and no two channels share a room. */
import assert from "node:assert/strict";
import { isId } from "@arqon/proto";
import fc from "fast-check";
import { channelOf, channelProblem, kindOf, roomOf } from "./channel.ts";

const ALPHABET = "abcABC019-_=@,.;".split("");
const prefix = fc.constantFrom("", "pusher:", "a-b~");
const channel = fc.string({ unit: fc.constantFrom(...ALPHABET), minLength: 1, maxLength: 30 });

Deno.test("a channel's room says which channel it is", () => {
  fc.assert(fc.property(channel, prefix, (name, before) => {
    const room = roomOf(name, before);
    if (channelProblem(name, before) !== undefined) return assert.ok(!isId(room));
    assert.ok(isId(room));
    assert.equal(channelOf(room, before), name);
  }));
});

Deno.test("no two channels share a room", () => {
  fc.assert(fc.property(channel, channel, prefix, (one, other, before) => {
    assert.equal(roomOf(one, before) === roomOf(other, before), one === other);
  }));
});

Deno.test("a room id that no channel maps to has no channel", () => {
  assert.equal(channelOf("news", "pusher:"), undefined);
  assert.equal(channelOf("pusher:", "pusher:"), undefined);
  assert.equal(channelOf("pusher:news~members", "pusher:"), undefined);
  assert.equal(channelOf("pusher:a:41", "pusher:"), undefined, "an A is not escaped");
  assert.equal(channelOf("pusher:App:2eUser:2e1", "pusher:"), "App.User.1");
});

Deno.test("an invalid channel name gives a reason", () => {
  for (const odd of ["", "a b", "a/b", "ä", "a:b", "x".repeat(201), 1, undefined, null]) {
    assert.match(channelProblem(odd, "") ?? "", /a channel is/);
  }
  assert.match(channelProblem("x".repeat(60), "pusher:") ?? "", /too long/);
  assert.deepEqual(["presence-a", "private-a", "a"].map(kindOf), ["presence", "private", "public"]);
});
