/** Sizes of chat bodies: read from events, and the record of them. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { chatSizes, interleaved, payloadSizes, RECORDED_SIZES_BYTES } from "./chat_sizes.ts";
import { chatGroups } from "../scenarios.ts";

Deno.test("a payload counts in bytes of UTF-8, as JSON without white space", () => {
  const lines = ['{"payload":{"a": "ü"}}', '{"type":"x","payload":[1, 2]}', ""];
  assert.deepEqual(payloadSizes(lines.join("\n")), ['{"a":"ü"}'.length + 1, "[1,2]".length]);
});

Deno.test("interleaving keeps every size, in an order of its own", () => {
  fc.assert(fc.property(fc.array(fc.nat(30_000)), (sizes_bytes) => {
    const sorted = (all: number[]) => all.toSorted((one, other) => one - other);
    assert.deepEqual(sorted(interleaved(sizes_bytes)), sorted(sizes_bytes));
  }));
  assert.notDeepEqual(interleaved(RECORDED_SIZES_BYTES), RECORDED_SIZES_BYTES);
});

Deno.test("with or without the events beside the checkout there are sizes that a frame can have", async () => {
  const { sizes_bytes } = await chatSizes();
  for (const sizes of [sizes_bytes, RECORDED_SIZES_BYTES]) {
    assert.ok(sizes.length >= 32);
    assert.ok(sizes.every((size_bytes) => size_bytes > 0 && size_bytes < 65_536));
  }
});

Deno.test("a chat message goes to 44 members on average", () => {
  const groups = chatGroups(false);
  const connections = groups.reduce((sum, one) => sum + one.connections, 0);
  const heard = groups.reduce((sum, one) => sum + one.connections * one.connections / one.rooms, 0);
  assert.equal(connections, 500);
  assert.equal(Math.round(heard / connections), 44);
});
